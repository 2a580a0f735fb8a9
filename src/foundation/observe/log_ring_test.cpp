#include "observe/log_ring.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>

using namespace posthorn;
using namespace posthorn::observe;

namespace {

struct Ends {
    Ends() : memory(make().value()), bell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), reader(mapped()), sink(mapped(), Fd(::dup(bell.get()))) {}
    static Result<Fd> make()
    {
        auto ring = make_log_ring();
        REQUIRE(ring);
        return ring;
    }
    MappedRing mapped() const
    {
        auto ring = map_log_ring(memory);
        REQUIRE(ring);
        return *std::move(ring);
    }
    std::vector<RingReader::Line> take(std::int64_t from = 0)
    {
        std::vector<RingReader::Line> lines;
        reader.take(from, lines);
        return lines;
    }
    bool rung() const
    {
        eventfd_t count = 0;
        return ::eventfd_read(bell.get(), &count) == 0;
    }
    Fd memory, bell;
    RingReader reader;
    RingSink sink;
};

}  // namespace

TEST_CASE("log ring: what goes in comes out, in order, round after round")
{
    Ends ends;
    std::mt19937 random(7);
    std::size_t number = 0, next = 0;
    for (int round = 0; round < 3000; ++round) {
        const std::size_t count = 1 + random() % 30;
        for (std::size_t i = 0; i < count; ++i, ++number)
            ends.sink.write(number % 2 == 0 ? Level::info : Level::error, "postfix/smtpd[1]",
                            fmt::format("{} {}", number, std::string(random() % 300, 'x')));
        if (round % 3 == 0)
            for (const auto& line : ends.take()) {
                REQUIRE(line.text.starts_with(fmt::format("postfix/smtpd[1]: {} ", next)));
                CHECK(line.level == (next % 2 == 0 ? Level::info : Level::error));
                ++next;
            }
    }
    next += ends.take().size();
    CHECK(next == number);
    CHECK(ends.sink.dropped() == 0);
    CHECK(ends.reader.empty());
    CHECK(ends.reader.quiet());
}

TEST_CASE("log ring: an empty one begins anew, so that it uses little memory")
{
    Ends ends;
    for (int i = 0; i < 100'000; ++i) {
        ends.sink.write(Level::info, "postfix/smtpd[1]", std::string(200, 'x'));
        if (i % 100 == 0)
            ends.take();
    }
    std::vector<unsigned char> pages(ring_octets / 4096);
    const auto ring = ::mmap(nullptr, ring_octets, PROT_READ, MAP_SHARED, ends.memory.get(), 0);
    REQUIRE(ring != MAP_FAILED);
    REQUIRE(::mincore(ring, ring_octets, pages.data()) == 0);
    ::munmap(ring, ring_octets);
    CHECK(std::ranges::count_if(pages, [](unsigned char page) { return (page & 1) != 0; }) <= 80);
}

TEST_CASE("log ring: where it has just begun anew, a reader that stands still for a while finds all that was said")
{
    const std::string line(30, 'x');                            // 64 octets with the tag and what stands in front of each
    for (const std::size_t before : {1024, 2048, 4096}) {       // after which it may begin anew
        Ends ends;
        std::size_t read = 0;
        for (std::size_t i = 0; i < before; ++i) {
            ends.sink.write(Level::info, "postfix/smtpd[1]", line);
            read += ends.take().size();
        }
        for (int i = 0; i < 3000; ++i)
            ends.sink.write(Level::info, "postfix/smtpd[1]", line);
        read += ends.take().size();
        CHECK(ends.sink.dropped() == 0);
        CHECK(read == before + 3000);
    }
}

TEST_CASE("log ring: what it has no room for is dropped and counted, and that is said; what is too long is cut")
{
    Ends ends;
    std::uint64_t written = 0;
    for (; ends.sink.dropped() == 0; ++written)
        ends.sink.write(Level::info, "postfix/qmgr[1]", std::string(1000, 'x'));
    ends.sink.write(Level::info, "postfix/qmgr[1]", std::string(1000, 'x'));
    CHECK(ends.sink.dropped() == 2);
    CHECK(ends.take().size() == written - 1);
    ends.sink.write(Level::info, "postfix/qmgr[1]", std::string(1'000'000, 'y'));
    const auto lines = ends.take();
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].text == "postfix/qmgr[1]: warning: 2 log lines were dropped: the log could not keep up");
    CHECK(lines[0].level == Level::warning);
    CHECK(lines[1].text == "postfix/qmgr[1]: " + std::string(ring_line_octets, 'y'));
    RingSink nowhere({}, Fd());
    nowhere.write(Level::info, "postfix/qmgr[1]", "x");
    CHECK(nowhere.dropped() == 1);
}

TEST_CASE("log ring: the bell rings once, where it was asked for")
{
    Ends ends;
    ends.sink.write(Level::info, "t", "one");
    CHECK_FALSE(ends.rung());
    ends.reader.ask_for_bell();
    CHECK_FALSE(ends.reader.empty());              // what came before it
    ends.sink.write(Level::info, "t", "two");
    ends.sink.write(Level::info, "t", "three");
    CHECK(ends.rung());
    CHECK_FALSE(ends.rung());
}

TEST_CASE("log ring: a writer whose reader has died writes what was not taken, and what follows")
{
    const Ends ends;
    int pipe[2];
    REQUIRE(::pipe2(pipe, O_CLOEXEC | O_NONBLOCK) == 0);
    const Fd from(pipe[0]);
    RingSink sink(ends.mapped(), Fd(), Fd(pipe[1]), LogForm::file);
    RingReader reader(ends.mapped());
    const auto said = [&] {
        char text[4096];
        const ssize_t count = ::read(from.get(), text, sizeof text);
        return std::string(text, count > 0 ? static_cast<std::size_t>(count) : 0);
    };
    sink.write(Level::info, "t", "one");
    std::vector<RingReader::Line> lines;
    reader.take(0, lines);
    sink.write(Level::info, "t", "two");
    CHECK(said().empty());
    sink.reader_gone();
    sink.write(Level::warning, "t", "three");
    const std::string text = said();
    CHECK(text.find("one") == std::string::npos);
    CHECK(text.find("t: two\n") < text.find("t: three\n"));
    CHECK(text.ends_with("t: three\n"));
    CHECK(sink.dropped() == 0);
}

TEST_CASE("log ring: its size is the ring's for good, and nothing else is taken for one")
{
    const auto ring = make_log_ring();
    REQUIRE(ring);
    CHECK(::ftruncate(ring->get(), 4096) != 0);
    const Fd small(::memfd_create("small", MFD_CLOEXEC));
    CHECK_FALSE(map_log_ring(small));
}

TEST_CASE("log ring: a writer that lies is read within the ring, without control characters, at times that may be")
{
    Ends ends;
    char* const memory = static_cast<char*>(::mmap(nullptr, ring_octets, PROT_READ | PROT_WRITE, MAP_SHARED, ends.memory.get(), 0));
    REQUIRE(memory != MAP_FAILED);
    ends.sink.write(Level::info, "postfix/smtpd[1]", "a\nNov 26 00:00:00 host postfix/qmgr[2]: forged");
    const auto now = [] { return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count(); };
    const std::int64_t late = now() + 3'600'000'000'000;
    std::memcpy(memory + 4096, &late, sizeof late);            // its stamp
    const std::int64_t from = now();
    auto lines = ends.take(from);
    REQUIRE(lines.size() == 1);
    CHECK((lines[0].stamp >= from && lines[0].stamp <= now()));
    CHECK(lines[0].text.find('\n') == std::string::npos);
    std::mt19937_64 random(11);
    for (int round = 0; round < 20'000; ++round) {
        ends.sink.write(Level::info, "t", "honest");
        for (int blow = 0; blow < 4; ++blow) {
            const std::uint64_t value = random() % 3 == 0 ? random() : random() % 4 == 0 ? UINT64_MAX - random() % 64 : random() % (2 * ring_octets);
            const std::size_t where = random() % 2 == 0 ? random() % 20 * 8 : 4096 + random() % 64 * 8;
            std::memcpy(memory + where, &value, sizeof value);
        }
        lines = ends.take(from);
        std::size_t octets = 0;
        for (const auto& line : lines) {
            octets += line.text.size();
            CHECK((line.stamp >= from && line.stamp <= now()));
            CHECK(line.level <= Level::panic);
        }
        REQUIRE(octets <= ring_octets);
    }
    ::munmap(memory, ring_octets);
}

TEST_CASE("log ring: a record travels among the lines, in the order in which both were said, as it is")
{
    Ends ends;
    ends.sink.write(Level::info, "t", "one");
    ends.sink.record(R"({"type":"Delivery","text":"gr\u00fc\u00df"})");
    ends.sink.write(Level::info, "t", "two");
    const auto lines = ends.take();
    REQUIRE(lines.size() == 3);
    CHECK_FALSE(lines[0].record);
    CHECK(lines[1].record);
    CHECK(lines[1].text == R"({"type":"Delivery","text":"gr\u00fc\u00df"})");
    CHECK(lines[2].text == "t: two");
    CHECK((lines[0].order() < lines[1].order() && lines[1].order() < lines[2].order()));
}

TEST_CASE("log ring: a record is never cut; those without room are counted apart from lines, which is said in front of the next line")
{
    Ends ends;
    ends.sink.record("{\"a\":\"" + std::string(record_octets, 'x') + "\"}");
    for (const char* none : {"", "{}", "no object", "{\"a\":1}\n{\"b\":2}", "{\"a\":\"\xff\"}", "{\"a\":1"})
        ends.sink.record(none);
    CHECK(ends.take().empty());
    CHECK(ends.sink.records_dropped() == 7);
    const std::string longest = "{\"a\":\"" + std::string(record_octets - 8, 'x') + "\"}";
    ends.sink.record(longest);
    auto lines = ends.take();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].text == longest);
    std::uint64_t written = 0;
    for (; ends.sink.records_dropped() == 7; ++written)
        ends.sink.record(longest);
    CHECK(ends.sink.dropped() == 0);
    CHECK(ends.take().size() == written - 1);
    ends.sink.write(Level::info, "postfix/qmgr[1]", "next");
    lines = ends.take();
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].text == "postfix/qmgr[1]: warning: 8 records were dropped: the log could not keep up");
    CHECK(lines[1].text == "postfix/qmgr[1]: next");
}

TEST_CASE("log ring: what a writer that lies calls a record is taken only where it may stand in the file")
{
    Ends ends;
    ends.sink.record(R"({"type":"Delivery"})");
    char* const memory = static_cast<char*>(::mmap(nullptr, ring_octets, PROT_READ | PROT_WRITE, MAP_SHARED, ends.memory.get(), 0));
    REQUIRE(memory != MAP_FAILED);
    memory[4096 + 16 + 5] = '\n';                  // within the text
    CHECK(ends.take().empty());
    CHECK(ends.reader.empty());
    ends.sink.record(R"({"type":"Bounce"})");
    CHECK(ends.take().size() == 1);
    ::munmap(memory, ring_octets);
}

TEST_CASE("log ring: a writer whose reader has died writes its records where they belong, or counts them where there is no such place")
{
    for (const bool wanted : {true, false}) {
        const Ends ends;
        int log[2], records[2];
        REQUIRE(::pipe2(log, O_CLOEXEC | O_NONBLOCK) == 0);
        REQUIRE(::pipe2(records, O_CLOEXEC | O_NONBLOCK) == 0);
        const Fd from_log(log[0]), from_records(records[0]);
        Fd to_records(records[1]);
        RingSink sink(ends.mapped(), Fd(), Fd(log[1]), LogForm::file, wanted ? std::move(to_records) : Fd());
        sink.write(Level::info, "t", "a line");
        sink.record(R"({"before":1})");
        sink.reader_gone();
        sink.record(R"({"after":1})");
        const auto said = [](const Fd& from) {
            char text[4096];
            const ssize_t count = ::read(from.get(), text, sizeof text);
            return std::string(text, count > 0 ? static_cast<std::size_t>(count) : 0);
        };
        const std::string lines = said(from_log);
        CHECK(lines.ends_with("t: a line\n"));
        CHECK(lines.find('{') == lines.npos);
        CHECK(said(from_records) == (wanted ? "{\"before\":1}\n{\"after\":1}\n" : ""));
        CHECK(sink.records_dropped() == (wanted ? 0 : 1));
    }
}

TEST_CASE("log ring: with records in it, one that begins anew has room for what comes while its reader has lost the processor")
{
    Ends ends;
    const std::string record = "{\"a\":\"" + std::string(900, 'x') + "\"}";
    for (int i = 0; i < 10'000; ++i) {                      // a little is read soon, half of a MiB behind it late
        ends.sink.record(record);
        ends.sink.write(Level::info, "postfix/qmgr[1]", std::string(200, 'x'));
        if (i % 460 == 0 || i % 460 == 60)
            ends.take();
    }
    CHECK(ends.sink.records_dropped() == 0);
    CHECK(ends.sink.dropped() == 0);
}
