#include "schedule/retry.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::schedule;
using namespace std::chrono_literals;

namespace {
constexpr WallTime arrival{1'800'000'000s};
}

TEST_CASE("retry: a message waits as long again as it is old, from minimal_ to maximal_backoff_time")
{
    const RetryOptions options;
    const auto wait = [&](std::chrono::seconds age) { return next_try(options, arrival, arrival + age) - (arrival + age); };
    CHECK(wait(0s) == 300s);
    CHECK(wait(300s) == 300s);
    CHECK(wait(1000s) == 1000s);
    CHECK(wait(4000s) == 4000s);
    CHECK(wait(100h) == 4000s);
    CHECK(wait(-1h) == 300s);                                // the clock went back
}

TEST_CASE("retry: mail from <> has its own lifetime")
{
    RetryOptions options;
    options.bounce_lifetime = 1h;
    CHECK_FALSE(expired(options, arrival, false, arrival + 2h));
    CHECK(expired(options, arrival, true, arrival + 1h));
    CHECK(expired(options, arrival, false, arrival + 120h));
    options.maximal_lifetime = 0s;                           // one attempt only
    CHECK(expired(options, arrival, false, arrival));
}

TEST_CASE("retry: the sender is warned once, late enough, and never when the sender is <>")
{
    RetryOptions options;
    CHECK_FALSE(delay_warning_due(options, arrival, false, false, arrival + 100h));      // off
    options.delay_warning = 4h;
    CHECK_FALSE(delay_warning_due(options, arrival, false, false, arrival + 3h));
    CHECK(delay_warning_due(options, arrival, false, false, arrival + 4h));
    CHECK_FALSE(delay_warning_due(options, arrival, false, true, arrival + 4h));
    CHECK_FALSE(delay_warning_due(options, arrival, true, false, arrival + 4h));
}
