#include "handoff/queue_id.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace posthorn;
using namespace posthorn::handoff;

namespace {
constexpr WallTime when{std::chrono::microseconds{1'795'226'084'004'321}};
}

TEST_CASE("queue id: the short form is five hex digits of the microsecond and the number") { CHECK(short_queue_id(when, 0x3E8) == "010E13E8"); }

TEST_CASE("queue id: the long form tells its time and sorts by it")
{
    const std::string id = long_queue_id(when, 1000);
    CHECK(queue_id_time(id) == when);
    CHECK(long_queue_id(when + std::chrono::microseconds{1}, 1) > long_queue_id(when, 999'999));
    CHECK(id.find_first_of("aeiouAEIOU") == id.npos);
}

TEST_CASE("queue id: ids stay unique when the clock stands still or goes back")
{
    HandClock clock;
    std::set<std::string> seen;
    for (const bool long_form : {false, true}) {
        QueueIds ids(long_form);
        ids.add_block(100, 50);
        for (int i = 0; i < 50; ++i) {
            clock.step_wall(std::chrono::microseconds{-(i % 3)});
            const auto id = ids.next(clock.wall());
            REQUIRE(id);
            CHECK(seen.insert(*id).second);
            CHECK(is_queue_id(*id));
        }
    }
}

TEST_CASE("queue id: a used-up block says so; the next one is taken over without a gap")
{
    QueueIds ids(true);
    CHECK_FALSE(ids.next(when));
    ids.add_block(7, 1);
    CHECK_FALSE(ids.low());
    CHECK(ids.next(when));
    CHECK(ids.low());
    CHECK_FALSE(ids.next(when));
}

TEST_CASE("queue id: what cannot be one is refused before it reaches a query")
{
    for (const char* text : {"", "ALL", "../../etc", "12 34", "z", "0000000000z", "4D2A9", "hello"})
        CHECK_FALSE(is_queue_id(text));
}
