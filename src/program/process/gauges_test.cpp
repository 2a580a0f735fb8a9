#include "process/gauges.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace std::chrono_literals;
using process::LagGauge;

TEST_CASE("lag: below 50 ms nothing is said, but the largest is known")
{
    HandClock clock;
    LagGauge gauge;
    CHECK_FALSE(gauge.note(clock.steady(), 49ms));
    CHECK(gauge.take_largest() == 49ms);
    CHECK(gauge.take_largest() == 0ms);
}

TEST_CASE("lag: a late loop is said once a minute, with the worst of that minute")
{
    HandClock clock;
    LagGauge gauge;
    CHECK(gauge.note(clock.steady(), 60ms) == 60ms);
    clock.advance(10s);
    CHECK_FALSE(gauge.note(clock.steady(), 900ms));
    clock.advance(50s);
    CHECK(gauge.note(clock.steady(), 1ms) == 900ms);
    clock.advance(60s);
    CHECK_FALSE(gauge.note(clock.steady(), 1ms));
}
