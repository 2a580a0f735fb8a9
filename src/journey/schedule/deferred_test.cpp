#include "schedule/deferred.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace posthorn;
using namespace posthorn::schedule;
using namespace std::chrono_literals;

TEST_CASE("deferred: messages come in the order of their time, and not before it")
{
    HandClock clock;
    Deferred deferred;
    const WallTime start = clock.wall();
    deferred.put(1, start + 30s);
    deferred.put(2, start + 10s);
    deferred.put(3, start + 20s);
    deferred.put(1, start + 15s);                            // another time
    CHECK(deferred.forget(3));
    CHECK_FALSE(deferred.forget(3));
    CHECK(deferred.earliest() == start + 10s);
    CHECK_FALSE(deferred.take_due(start));
    CHECK(deferred.take_due(start + 60s) == 2);
    CHECK(deferred.take_due(start + 60s) == 1);
    CHECK_FALSE(deferred.take_due(start + 60s));
    CHECK(deferred.size() == 0);
}

TEST_CASE("deferred: a flush makes everything due, and keeps what was due already")
{
    HandClock clock;
    Deferred deferred;
    for (MessageKey message = 1; message <= 100; ++message)
        deferred.put(message, clock.wall() + std::chrono::hours(message));
    deferred.flush(clock.wall());
    std::set<MessageKey> seen;
    while (const auto message = deferred.take_due(clock.wall()))
        seen.insert(*message);
    CHECK(seen.size() == 100);
}

TEST_CASE("deferred: re-timing a thousand times does not grow the heap without bound, nor lose a message")
{
    HandClock clock;
    Deferred deferred;
    std::mt19937 random(7);
    std::map<MessageKey, WallTime> truth;
    for (int i = 0; i < 100'000; ++i) {
        const MessageKey message = random() % 50;
        const WallTime when = clock.wall() + std::chrono::seconds(random() % 1000);
        deferred.put(message, when);
        truth[message] = when;
    }
    WallTime last{};
    while (const auto message = deferred.take_due(clock.wall() + 1000s)) {
        CHECK(truth.at(*message) >= last);
        last = truth.at(*message);
        truth.erase(*message);
    }
    CHECK(truth.empty());
}

TEST_CASE("deferred: what waits goes as much earlier as the clock was set back; what is due stays due")
{
    HandClock clock;
    Deferred deferred;
    deferred.put(1, clock.wall() + 100s);
    deferred.put(2, WallTime{});
    clock.step_wall(-3600s);
    deferred.earlier(3600s);
    CHECK(deferred.take_due(clock.wall()) == 2);
    CHECK(!deferred.take_due(clock.wall() + 99s));
    CHECK(deferred.take_due(clock.wall() + 100s) == 1);
}
