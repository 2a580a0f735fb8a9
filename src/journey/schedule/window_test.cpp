#include "schedule/window.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::schedule;
using namespace std::chrono_literals;

namespace {

/// Fills the window, then ends every delivery alike.
template <class End>
void round(Window& window, SteadyTime now, End end)
{
    while (window.open(now))
        window.started();
    for (auto flying = window.in_flight(); flying > 0; --flying)
        end(window);
}

}  // namespace

TEST_CASE("window: grows by one for each success while it is used up, never past the limit")
{
    HandClock clock;
    Window window({.initial = 2, .limit = 4, .negative = {}});
    window.started();
    window.succeeded(clock.steady());
    CHECK(window.size() == 2);                               // half used: nothing shows that more would be better
    window.started();
    window.started();
    window.succeeded(clock.steady());
    CHECK(window.size() == 3);
    for (int i = 0; i < 5; ++i)
        round(window, clock.steady(), [&](Window& w) { w.succeeded(clock.steady()); });
    CHECK(window.size() == 4);
}

TEST_CASE("window: a window full of failures in a row makes the site dead, a success in between does not")
{
    HandClock clock;
    Window window({.initial = 3, .limit = 20, .cohort_limit = 1, .negative = {.amount = 0}});
    for (int i = 0; i < 2; ++i) {
        window.started();
        window.failed(clock.steady());
    }
    CHECK_FALSE(window.dead());
    window.started();
    window.succeeded(clock.steady());
    for (int i = 0; i < 3; ++i) {
        CHECK_FALSE(window.dead());
        window.started();
        window.failed(clock.steady());
    }
    CHECK(window.dead());
    CHECK_FALSE(window.open(clock.steady()));
    window.revive();
    CHECK(window.open(clock.steady()));
    CHECK(window.size() == 3);
}

TEST_CASE("window: failures narrow it to one at the least")
{
    HandClock clock;
    Window window({.initial = 4, .cohort_limit = 100});
    for (int i = 0; i < 9; ++i) {
        window.started();
        window.failed(clock.steady());
    }
    CHECK(window.size() == 1);
    CHECK(window.open(clock.steady()));
}

TEST_CASE("window: a rate delay allows one delivery, then waits from its end")
{
    HandClock clock;
    Window window({.initial = 5, .rate_delay = 2s});
    CHECK(window.open(clock.steady()));
    window.started();
    CHECK_FALSE(window.open(clock.steady()));
    clock.advance(10s);
    window.succeeded(clock.steady());
    CHECK_FALSE(window.open(clock.steady()));
    clock.advance(2s);
    CHECK(window.open(clock.steady()));
    CHECK(window.size() == 1);
}

TEST_CASE("feedback: Postfix's forms are read, others are refused by name")
{
    CHECK(Feedback::parse("1")->of(10) == doctest::Approx(1));
    CHECK(Feedback::parse("1/concurrency")->of(10) == doctest::Approx(0.1));
    CHECK(Feedback::parse(" 0.5 / sqrt_concurrency ")->of(4) == doctest::Approx(0.25));
    for (const char* text : {"", "2", "-1", "1/window", "x", "1/"})
        CHECK_FALSE(Feedback::parse(text));
    CHECK(Feedback::parse("1/window").error().text().find("\"window\" is neither") != std::string::npos);
}
