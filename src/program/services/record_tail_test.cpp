#include "services/record_tail.hpp"

#include "observe/recorder.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

using namespace posthorn;
using namespace posthorn::services;

namespace {

struct Office {
    Office() { REQUIRE(::mkdtemp(folder) != nullptr); }
    ~Office() { std::filesystem::remove_all(folder); }
    std::string file(const std::string& name = "records") const { return std::string(folder) + "/" + name; }
    void append(const std::string& text, const std::string& name = "records") const
    {
        std::ofstream(file(name), std::ios::app | std::ios::binary) << text;
    }
    void number(int from, int to, const std::string& name = "records") const
    {
        for (int i = from; i < to; ++i)
            append("{\"n\":" + std::to_string(i) + "}\n", name);
    }
    /// A rotation some seconds after the last one: files are told apart by when they were changed.
    void rotate(const std::string& suffix)
    {
        const timespec when[2] = {{.tv_sec = 1'000'000 + rotations, .tv_nsec = 0}, {.tv_sec = 1'000'000 + rotations, .tv_nsec = 0}};
        ++rotations;
        REQUIRE(::utimensat(AT_FDCWD, file().c_str(), when, 0) == 0);
        std::filesystem::rename(file(), file("records." + suffix));
    }
    int rotations = 0;
    char folder[40] = "/tmp/posthorn-tail.XXXXXX";
};

/// All that there is now, at most so many at a time; time passes where nothing is left.
std::vector<std::string> read_all(RecordTail& tail, HandClock& clock, std::size_t most = 3)
{
    std::vector<std::string> all;
    for (int idle = 0; idle < 4;) {
        const auto records = tail.next(most);
        REQUIRE(records);
        all.insert(all.end(), records->begin(), records->end());
        if (records->empty()) {
            ++idle;
            clock.advance(RecordTail::rest_time);
        } else {
            tail.advance();
        }
    }
    return all;
}

std::vector<std::string> numbers(int from, int to)
{
    std::vector<std::string> all;
    for (int i = from; i < to; ++i)
        all.push_back("{\"n\":" + std::to_string(i) + "}");
    return all;
}

}  // namespace

TEST_CASE("record tail: records are read as they come, in order, each once; what is not advanced over is given again")
{
    Office office;
    HandClock clock;
    RecordTail tail(office.file(), {}, clock);
    CHECK_FALSE(tail.next(3));                                             // there is no file
    office.number(0, 5);
    const auto first = tail.next(3), again = tail.next(3);
    REQUIRE((first && again));
    CHECK(first->size() == 3);
    CHECK(*first == *again);
    CHECK(read_all(tail, clock) == numbers(0, 5));
    CHECK(tail.behind() == 0);
    office.append("{\"n\":5}\n{\"n\":");
    CHECK(tail.behind() == 13);
    CHECK(read_all(tail, clock) == numbers(5, 6));                         // half a record waits for its other half
    office.append("6}\n");
    CHECK(read_all(tail, clock) == numbers(6, 7));
    CHECK(tail.take_remarks().empty());
}

TEST_CASE("record tail: over rotation none is lost, what was still written to the old file included")
{
    Office office;
    HandClock clock;
    RecordTail tail(office.file(), {}, clock);
    office.number(0, 4);
    CHECK(read_all(tail, clock) == numbers(0, 4));
    std::filesystem::rename(office.file(), office.file("records.old"));
    office.number(4, 6, "records.old");
    office.number(6, 8);                                                   // while the old one is still written to
    auto records = tail.next(10);
    REQUIRE(records);
    CHECK(records->size() == 2);
    tail.advance();
    records = tail.next(10);
    REQUIRE(records);
    CHECK(records->empty());                                               // not before it has rested
    CHECK(tail.behind() == 16);
    CHECK(read_all(tail, clock) == numbers(6, 8));
    CHECK(tail.take_remarks().empty());
}

TEST_CASE("record tail: a reader that was away goes on where it was, through all files that came between")
{
    Office office;
    HandClock clock;
    RecordPosition position;
    office.number(0, 6);
    {
        RecordTail tail(office.file(), {}, clock);
        REQUIRE(tail.next(2));
        tail.advance();
        position = tail.position();
    }
    office.rotate("b");
    office.number(6, 8);
    office.rotate("z");
    office.number(8, 9);
    office.rotate("a");                                                    // their names say nothing of their order
    office.append("packed", "records.c.gz");
    office.append("{\"n\":\"other\"}\n", "records-other");
    office.number(9, 11);
    RecordTail tail(office.file(), position, clock);
    CHECK(read_all(tail, clock) == numbers(2, 11));
    CHECK(tail.take_remarks().empty());

    RecordTail lost(office.file(), {position.device, 1, 7}, clock);
    CHECK(read_all(lost, clock) == numbers(9, 11));
    CHECK(lost.take_remarks() == std::vector<std::string>{"the file with the records that were to be next is gone: what it had beyond is lost"});
}

TEST_CASE("record tail: what is no record is passed over and said; a file that was emptied is read from its beginning")
{
    Office office;
    HandClock clock;
    office.append("\n{\"n\":0}\nno record\n{\"n\":\"\xff\"}\n" + std::string(observe::record_octets + 10, 'x') + "\n{\"n\":1}\n");
    RecordTail tail(office.file(), {}, clock);
    CHECK(read_all(tail, clock) == numbers(0, 2));
    const auto remarks = tail.take_remarks();
    REQUIRE_FALSE(remarks.empty());
    CHECK(remarks[0].ends_with("lines that are no records were passed over"));
    std::filesystem::resize_file(office.file(), 0);
    office.number(2, 3);
    CHECK(read_all(tail, clock) == numbers(2, 3));
    CHECK(tail.take_remarks() == std::vector<std::string>{"the file is shorter than what was read of it: it is read from its beginning"});
    office.append("{\"half");
    office.rotate("old");
    office.number(3, 4);
    CHECK(read_all(tail, clock) == numbers(3, 4));
    CHECK(tail.take_remarks() == std::vector<std::string>{"half a record at the end of a file was passed over"});
}

TEST_CASE("record tail: the position outlasts whatever is cut off while it is written, and is one process's at a time")
{
    Office office;
    const std::string path = office.file("record_hook");
    auto file = PositionFile::open(path);
    REQUIRE(file);
    CHECK(file->acquire());
    CHECK_FALSE(file->load().known());
    for (std::uint64_t offset = 1; offset <= 5; ++offset)
        REQUIRE(file->keep({7, 8, offset}, offset % 2 == 0));
    auto other = PositionFile::open(path);
    REQUIRE(other);
    CHECK_FALSE(other->acquire());
    CHECK(other->load() == RecordPosition{7, 8, 5});
    // The newest place is written half: the one before counts.
    const Fd raw(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(::pwrite(raw.get(), "records 1 6 7", 13, 5 % 2 * 512) == 13);
    CHECK(other->load() == RecordPosition{7, 8, 4});
    *file = PositionFile();
    CHECK(other->acquire());
    REQUIRE(other->keep({7, 9, 1}, true));
    CHECK(other->load() == RecordPosition{7, 9, 1});

    const std::string text = position_text({1, 2, 3}, 4);
    CHECK(read_position(text)->first == RecordPosition{1, 2, 3});
    for (std::size_t at = 0; at < text.size(); ++at) {
        std::string other_text = text;
        other_text[at] = other_text[at] == '1' ? '2' : '1';
        CHECK_FALSE(read_position(other_text));
    }
}
