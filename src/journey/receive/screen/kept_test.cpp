// Who passed the tests, as it is kept in memory and in a file.
#include "async/run.hpp"
#include "receive/screen/kept.hpp"
#include "tables/build.hpp"
#include "tables/table.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

using namespace posthorn;
using namespace posthorn::receive;
using namespace std::chrono_literals;

namespace {

screen::Passed waited_until(WallTime when) { return {.greet = when, .lists = {}, .deep = {}}; }

/// What memory does with one file over several of its lives.
struct Keeper {
    std::string folder = [] {
        char path[] = "/tmp/posthorn-kept.XXXXXX";
        return std::string(::mkdtemp(path));
    }();
    ~Keeper() { std::filesystem::remove_all(folder); }

    std::unique_ptr<screen::Kept> begin(std::size_t limit = 100)
    {
        return std::make_unique<screen::Kept>(loop.get_executor(),
                                              screen::Kept::Settings{.map = map, .limit = limit, .retention = 100s, .cleanup = 60s}, clock,
                                              observe::Log(sink, "postfix/postscreen"));
    }
    std::optional<screen::Passed> find(screen::Kept& kept, std::string address) { return run(loop, kept.find(std::move(address))); }
    std::vector<std::pair<std::string, std::string>> stored()
    {
        tables::Tables tables(observe::Log(sink, "test"), clock);
        return tables.open(map, {.fold = false, .substitute = false, .utf8 = false})->entries().value();
    }
    void store(std::string key, std::string value)
    {
        const auto builder = tables::build("lmdb", map.substr(5), {.incremental = true}).value();
        builder->put(key, value);
        REQUIRE(builder->commit());
    }

    asio::io_context loop;
    HandClock clock;
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    std::string map = "lmdb:" + folder + "/postscreen_cache";
};

}  // namespace

TEST_CASE("screen: the temporary list forgets first who is to be forgotten first")
{
    const WallTime now{1000s};
    screen::Allowed allowed(10, 100s);
    for (int client = 0; client < 11; ++client)
        allowed.put(fmt::format("a{}", client), {.greet = now + std::chrono::seconds(10 + client), .lists = {}, .deep = {}}, now);
    CHECK(allowed.size() <= 10);
    CHECK_FALSE(allowed.find("a0", now));
    CHECK(allowed.find("a9", now));
    CHECK(allowed.find("a10", now));
    CHECK(allowed.find("a10", now + 119s));
    CHECK_FALSE(allowed.find("a10", now + 120s));
    const auto cleaned = allowed.cleanup(now + 119s);
    CHECK(cleaned.retained == 1);
}

TEST_CASE("screen: whom the temporary list forgets is told of, once")
{
    const WallTime now{1000s};
    screen::Allowed allowed(10, 100s);
    std::vector<std::string> forgotten;
    allowed.on_forget = [&](const std::string& address) { forgotten.push_back(address); };
    for (int client = 0; client < 11; ++client)
        allowed.put(fmt::format("a{}", client), waited_until(now + std::chrono::seconds(10 + client)), now);
    std::ranges::sort(forgotten);
    CHECK(forgotten == std::vector<std::string>{"a0", "a1"});
    allowed.limit(10, 1s);
    allowed.cleanup(now + 20s);
    CHECK(forgotten.size() + allowed.size() == 11);
    CHECK(allowed.size() == 1);
}

TEST_CASE("screen: what was passed, as Postfix writes it")
{
    const screen::Passed passed{.greet = WallTime{5s}, .lists = WallTime{7s}, .deep = {WallTime{}, WallTime{9s}, WallTime{11s}}};
    CHECK(screen::to_text(passed) == "5;7;0;9;11");
    CHECK(screen::parse_passed("5;7;0;9;11") == passed);
    CHECK(screen::parse_passed("5;7;1;9;11") == passed);               // 1: the test was not made
    CHECK(screen::parse_passed("5;7") == screen::Passed{.greet = WallTime{5s}, .lists = WallTime{7s}, .deep = {}});
    for (const std::string_view wrong : {"", "x", "5;", "5;7;0;9;11;13", "-5;7", "5 ;7", "253402300800", "99999999999999999999"}) {
        CAPTURE(wrong);
        CHECK_FALSE(screen::parse_passed(wrong));
    }
    CHECK(screen::both(screen::parse_passed("5;9;1").value(), screen::parse_passed("6;8;0;3").value()) == screen::parse_passed("6;9;0;3"));
}

TEST_CASE("screen: who passed is known after a restart")
{
    Keeper keeper;
    const WallTime now = keeper.clock.wall();
    {
        const auto kept = keeper.begin();
        CHECK_FALSE(keeper.find(*kept, "192.0.2.1"));
        kept->put("192.0.2.1", waited_until(now + 50s));
        kept->put("192.0.2.1", {.greet = {}, .lists = now + 20s, .deep = {}});         // by another process
        kept->put("2001:db8::1", waited_until(now + 10s));
        kept->write_out();
    }
    CHECK(keeper.stored().size() == 2);
    const auto again = keeper.begin();
    CHECK(keeper.find(*again, "192.0.2.1") == screen::Passed{.greet = now + 50s, .lists = now + 20s, .deep = {}});
    CHECK(again->clients() == 2);
    SUBCASE("until it is forgotten, from the file as well")
    {
        keeper.clock.advance(111s);
        CHECK_FALSE(keeper.find(*again, "2001:db8::1"));
        CHECK(keeper.find(*again, "192.0.2.1"));
        again->put("192.0.2.2", waited_until(keeper.clock.wall() + 9s));
        TaskGroup tasks(keeper.loop.get_executor());
        tasks.spawn(again->run());
        run_until(keeper.loop, [&] { return keeper.stored().size() == 2 && keeper.stored().back().first == "192.0.2.2"; });
        CHECK(keeper.sink->lines.back() == fmt::format("postfix/postscreen: cache {} full cleanup: retained=2 dropped=1 entries", keeper.map));
        run(keeper.loop, tasks.close());
    }
    SUBCASE("and is told to whoever asks before the file was read")
    {
        const auto third = keeper.begin();
        third->put("192.0.2.1", waited_until(now + 60s));
        third->write_out();
        CHECK(keeper.find(*third, "192.0.2.1") == screen::Passed{.greet = now + 60s, .lists = now + 20s, .deep = {}});
    }
}

TEST_CASE("screen: it is written within moments, without a word to the one who passed")
{
    Keeper keeper;
    const auto kept = keeper.begin();
    TaskGroup tasks(keeper.loop.get_executor());
    tasks.spawn(kept->run());
    CHECK_FALSE(keeper.find(*kept, "192.0.2.1"));
    kept->put("192.0.2.1", waited_until(keeper.clock.wall() + 50s));
    run_until(keeper.loop, [&] { return keeper.stored().size() == 1; });
    run(keeper.loop, tasks.close());
}

TEST_CASE("screen: a file of Postfix's is read on; what is no client in it is left alone")
{
    Keeper keeper;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(keeper.clock.wall()).time_since_epoch().count();
    keeper.store("192.0.2.7", fmt::format("{};1;1;1;1", seconds + 30));
    keeper.store("_LAST_CACHE_CLEANUP_COMPLETED_", "0");
    keeper.store("192.0.2.8", "what?");
    const auto kept = keeper.begin();
    CHECK(keeper.find(*kept, "192.0.2.7") == waited_until(std::chrono::floor<std::chrono::seconds>(keeper.clock.wall()) + 30s));
    CHECK(kept->clients() == 1);
    kept->put("192.0.2.9", waited_until(keeper.clock.wall() + 30s));
    kept->write_out();
    CHECK(keeper.stored().size() == 4);
}

TEST_CASE("screen: however many pass, no more than the limit are kept, and who has long to go stays")
{
    Keeper keeper;
    const WallTime now = keeper.clock.wall();
    {
        const auto kept = keeper.begin(10);
        for (int client = 0; client < 50; ++client)
            kept->put(fmt::format("192.0.2.{}", client), waited_until(now + std::chrono::seconds(10 + client)));
        kept->write_out();
        CHECK(kept->clients() <= 10);
    }
    CHECK(keeper.stored().size() <= 10);
    const auto fewer = keeper.begin(5);
    CHECK(keeper.find(*fewer, "192.0.2.49"));
    CHECK(fewer->clients() <= 5);
    fewer->write_out();
    CHECK(keeper.stored().size() <= 5);
}

TEST_CASE("screen: a file that cannot be used is warned of once, and who passed is known all the same")
{
    Keeper keeper;
    SUBCASE("a kind that cannot be written") { keeper.map = "memcache:/etc/postfix/x"; }
    SUBCASE("a folder that is not there") { keeper.map = "lmdb:" + keeper.folder + "/none/x"; }
    SUBCASE("damage") { std::ofstream(keeper.folder + "/postscreen_cache.lmdb") << std::string(8192, 'x'); }
    const auto kept = keeper.begin();
    CHECK_FALSE(keeper.find(*kept, "192.0.2.1"));
    kept->put("192.0.2.1", waited_until(keeper.clock.wall() + 50s));
    CHECK(keeper.find(*kept, "192.0.2.1"));
    kept->write_out();
    kept->write_out();
    CHECK(std::ranges::count_if(keeper.sink->lines, [](const std::string& line) {
              return line.find("warning: postscreen_cache_map: ") != line.npos &&
                     line.ends_with("; who passed the tests before the greeting is not stored");
          }) == 1);
}

TEST_CASE("screen: without a map it is kept in memory")
{
    Keeper keeper;
    keeper.map.clear();
    const auto kept = keeper.begin();
    CHECK_FALSE(keeper.find(*kept, "192.0.2.1"));
    kept->put("192.0.2.1", waited_until(keeper.clock.wall() + 50s));
    CHECK(keeper.find(*kept, "192.0.2.1"));
    kept->write_out();
    CHECK(keeper.sink->lines.empty());
}
