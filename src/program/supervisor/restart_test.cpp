#include "supervisor/restart.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace std::chrono_literals;
using supervisor::Restart;

TEST_CASE("restart: a process that had worked comes back at once, one that keeps failing ever later, up to the limit")
{
    HandClock clock;
    Restart restart(60s);
    const auto live = [&](std::chrono::seconds time) {
        restart.started(clock.steady());
        clock.advance(time);
        return restart.ended(clock.steady(), true);
    };
    CHECK(live(3600s) == 0s);
    std::string waits;
    for (int i = 0; i < 9; ++i)
        waits += std::to_string(live(1s).count()) + " ";
    CHECK(waits == "1 2 4 8 16 32 60 60 60 ");
    CHECK(live(10s) == 0s);                                // it proved itself
    CHECK(live(1s) == 1s);
}

TEST_CASE("restart: one that ends before it is ready waits from the first time")
{
    HandClock clock;
    Restart restart(60s);
    restart.started(clock.steady());
    CHECK(restart.ended(clock.steady(), false) == 1s);
    restart.started(clock.steady());
    clock.advance(30s);
    CHECK(restart.ended(clock.steady(), false) == 2s);     // slow to fail is no proof of life
}
