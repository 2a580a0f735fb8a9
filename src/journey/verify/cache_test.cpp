#include "verify/office_test.hpp"

#include <doctest/doctest.h>

#include <optional>

using namespace posthorn;
using namespace posthorn::verify;

namespace {

/// The cache in a folder after a cleanup, so much later.
struct CleanedUp {
    CleanedUp(const Folder& folder, WallTime::duration later, std::shared_ptr<observe::Sink> sink)
        : cache(folder.options().map, clock, observe::Log{std::move(sink), "postfix/verify"})
    {
        clock.advance(later);
        const auto cleaned = run(loop, cache.cleanup(rules));
        REQUIRE(cleaned);
        counts = *cleaned;
    }
    asio::io_context loop;      // before the cache: its thread ends first
    HandClock clock;
    Cache cache;
    Cache::Cleaned counts;
};

}  // namespace

TEST_CASE("cache: what was learned is in the file, is read by the next process, and goes when it has expired")
{
    const Folder folder;
    {
        Office office(folder.options());
        office.host.answers.emplace("Good:1@x.test", Finding(Kind::deliverable, "250 ok"));
        office.host.answers.emplace("bad@x.test", Finding(Kind::undeliverable, "550 no"));
        CHECK(office.ask("Good:1@x.test").text == "250 ok");
        CHECK(office.ask("bad@x.test").text == "550 no");
        run(office.loop, office.desk.close());
        CHECK(office.sink->lines.empty());
    }
    Office office(folder.options());
    CHECK(office.ask("Good:1@x.test").text == "250 ok");
    CHECK(office.ask("bad@x.test").text == "550 no");
    CHECK(office.ask("good:1@x.test").kind == Kind::deferred);      // another address: case is kept
    run(office.loop, office.desk.close());

    CleanedUp cleaned(folder, 4 * 86400s, office.sink);
    CHECK(cleaned.counts.retained == 1);
    CHECK(cleaned.counts.dropped == 1);
    CHECK(cleaned.cache.find("Good_1@x.test")->has_value());
    CHECK_FALSE(cleaned.cache.find("bad@x.test")->has_value());
}

TEST_CASE("cache: another process reads what was written, while it is written")
{
    const Folder folder;
    Office office(folder.options());
    CacheReader reader("proxy:" + folder.options().map, office.clock, observe::Log{office.sink, "postfix/smtpd"});
    CHECK_FALSE(reader.find("user:1@x.test"));
    office.host.answers.emplace("user:1@x.test", Finding(Kind::deliverable, "250 ok"));
    office.ask("user:1@x.test");
    CHECK_FALSE(reader.find("user:1@x.test"));             // not in the file yet
    run(office.loop, office.desk.close());
    REQUIRE(reader.find("user:1@x.test"));
    CHECK(reader.find("user:1@x.test")->text == "250 ok");
    CHECK_FALSE(CacheReader("", office.clock, observe::Log{office.sink, "x"}).find("user:1@x.test"));
    CHECK_FALSE(CacheReader("lmdb:/nonexistent", office.clock, observe::Log{office.sink, "x"}).find("user:1@x.test"));
}

TEST_CASE("cache: a reader that begins before the file is made waits for it, and says nothing")
{
    const Folder folder;
    const HandClock clock;
    const auto sink = std::make_shared<observe::MemorySink>();
    CacheReader reader(folder.options().map, clock, observe::Log{sink, "postfix/smtpd"});
    CHECK_FALSE(reader.find("user:1@x.test"));
    Office office(folder.options());
    office.host.answers.emplace("user:1@x.test", Finding(Kind::deliverable, "250 ok"));
    office.ask("user:1@x.test");
    run(office.loop, office.desk.close());
    CHECK(reader.find("user:1@x.test").has_value());
    CHECK(sink->lines.empty());
}

TEST_CASE("cache: what cannot be written is said once, counts all the same, and is written when it can be")
{
    const Folder folder;
    Options options;
    options.map = "lmdb:" + (folder.path / "later" / "verify_cache").string();
    std::filesystem::create_directory(folder.path / "later");
    Office office(options);
    office.host.answers.emplace("user@x.test", Finding(Kind::deliverable, "250 ok"));
    CHECK(office.ask("user@x.test").kind == Kind::deliverable);
    std::filesystem::rename(folder.path / "later", folder.path / "away");
    office.desk.start();
    run(office.loop, sleep_for(2500ms));
    CHECK(office.sink->lines.size() == 1);                 // two flushes failed
    CHECK(office.ask("user@x.test").text == "250 ok");
    std::filesystem::rename(folder.path / "away", folder.path / "later");
    run(office.loop, office.desk.close());
    CacheReader reader(options.map, office.clock, observe::Log{office.sink, "postfix/smtpd"});
    CHECK(reader.find("user@x.test").has_value());
}

TEST_CASE("cache: a map that cannot be written or read is said, and every answer is a deferral")
{
    Options options;
    options.map = "lmdb:/nonexistent/verify_cache";
    Office office(options);
    CHECK(office.ask("a@x.test").text == "Address verification status unavailable");
    CHECK(office.host.asked.empty());
    CHECK_FALSE(office.sink->lines.empty());
    Options wrong;
    wrong.map = "cidr:/nonexistent";
    CHECK(Office(wrong).ask("a@x.test").kind == Kind::deferred);
    run(office.loop, office.desk.close());
}

TEST_CASE("cache: records that others wrote, or that were cut off, are nothing known, and go with the next cleanup; a crash forgets what was asked")
{
    const Folder folder;
    {
        auto builder = tables::build("lmdb", (folder.path / "verify_cache").string(), {});
        REQUIRE(builder);
        for (const auto& [key, value] : std::initializer_list<std::pair<const char*, const char*>>{{"cut@x.test", "0:0"},
                                                                                                   {"odd@x.test", "7:0:1795226081:ok"},
                                                                                                   {"never@x.test", "0:0:0:ok"},
                                                                                                   {"octets@x.test", "\x01\xff\x02"},
                                                                                                   {"empty@x.test", ""}})
            (*builder)->put(key, value);
        // A probe was under way when the process before was killed.
        (*builder)->put("asked@x.test", "3:1795226081:0:Address verification in progress");
        REQUIRE((*builder)->commit());
    }
    Office office(folder.options());
    for (const char* address : {"cut@x.test", "odd@x.test", "never@x.test", "octets@x.test", "empty@x.test", "asked@x.test"}) {
        office.host.answers.emplace(address, Finding(Kind::deliverable, "250 anew"));
        CHECK(office.ask(address).text == "250 anew");
    }
    CHECK(office.host.asked.size() == 6);
    run(office.loop, office.desk.close());
    const CleanedUp cleaned(folder, 40 * 86400s, office.sink);
    CHECK(cleaned.counts.retained == 0);
    CHECK(cleaned.counts.dropped == 6);
}

TEST_CASE("cache: any kind of table that can be written is a map, and is read by the next process")
{
    const Folder folder;
    for (const char* type : {"lmdb", "hash", "btree"}) {
        CAPTURE(type);
        Options options;
        options.map = fmt::format("{}:{}", type, (folder.path / type).string());
        for (int start = 0; start < 2; ++start) {
            Office office(options);
            if (start == 0)
                office.host.answers.emplace("user@x.test", Finding(Kind::deliverable, "250 ok"));
            CHECK(office.ask("user@x.test").text == "250 ok");
            run(office.loop, office.desk.close());
            CHECK(office.host.asked.size() == (start == 0 ? 1 : 0));
        }
    }
}

TEST_CASE("cache: what is being written is known meanwhile; what came meanwhile outlives a write that failed")
{
    const Folder folder;
    asio::io_context loop;
    const HandClock clock;
    auto sink = std::make_shared<observe::MemorySink>();
    const std::filesystem::path place = folder.path / "place";
    std::filesystem::create_directory(place);
    Cache cache("lmdb:" + (place / "verify_cache").string(), clock, observe::Log{sink, "postfix/verify"});
    const auto text_of = [&](const std::string& key) {
        const auto found = cache.find(key);
        return found && *found ? (*found)->text : std::string("nothing");
    };
    cache.put("user@x.test", Record(Kind::deliverable, then, "old"));
    std::filesystem::rename(place, folder.path / "away");
    std::optional<bool> written;
    asio::co_spawn(loop, cache.flush(), [&](std::exception_ptr, Result<void> done) { written = done.has_value(); });
    loop.run_one();                                                 // it is with the thread that writes
    REQUIRE_FALSE(written);
    REQUIRE_FALSE(cache.dirty());
    CHECK(text_of("user@x.test") == "old");
    cache.put("user@x.test", Record(Kind::undeliverable, then, "new"));
    while (!written)
        loop.run_one();
    CHECK_FALSE(*written);
    CHECK(text_of("user@x.test") == "new");
    std::filesystem::rename(folder.path / "away", place);
    CHECK(run(loop, cache.flush()));
    CHECK(text_of("user@x.test") == "new");
}

TEST_CASE("cache: an address that comes back while the expired are looked for stays")
{
    const Folder folder;
    asio::io_context loop;
    HandClock clock;
    auto sink = std::make_shared<observe::MemorySink>();
    Cache cache(folder.options().map, clock, observe::Log{sink, "postfix/verify"});
    const WallTime begun = clock.wall();
    for (const char* address : {"waits@x.test", "written@x.test", "gone@x.test"})
        cache.put(address, Record(Kind::undeliverable, begun, "550 old"));
    REQUIRE(run(loop, cache.flush()));
    clock.advance(40 * 86400s);
    std::optional<std::size_t> dropped;
    asio::co_spawn(loop, cache.cleanup(rules), [&](std::exception_ptr, Result<Cache::Cleaned> done) { dropped = done ? done->dropped : 99; });
    loop.run_one();                                                 // the thread looks through the file
    REQUIRE_FALSE(dropped);
    // Written behind that look, and before what it found is taken out; the other after.
    cache.put("written@x.test", Record(Kind::deliverable, clock.wall(), "250 back"));
    bool written = false;
    asio::co_spawn(loop, cache.flush(), [&](std::exception_ptr, Result<void> done) { written = done.has_value(); });
    loop.poll_one();
    cache.put("waits@x.test", Record(Kind::deliverable, clock.wall(), "250 back"));
    while (!dropped || !written) {
        if (loop.stopped())
            loop.restart();
        loop.run_one_for(50ms);
    }
    REQUIRE(run(loop, cache.flush()));
    CacheReader reader(folder.options().map, clock, observe::Log{sink, "postfix/smtpd"});
    CHECK(reader.find("written@x.test"));
    CHECK(reader.find("waits@x.test"));
    CHECK_FALSE(reader.find("gone@x.test"));
    CHECK(*dropped == 1);
}
