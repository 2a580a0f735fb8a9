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

TEST_CASE("retry: what a table says of a destination takes the place of main.cf's times, in the units of main.cf")
{
    RetryOptions general;
    general.delay_warning = 4h;
    const auto read = amended(general, "maximal_queue_lifetime=10, maximal_backoff_time=1h\tminimal_backoff_time=90");
    REQUIRE(read);
    RetryOptions expected = general;
    expected.maximal_lifetime = 240h;
    expected.maximal_backoff = 1h;
    expected.minimal_backoff = 90s;
    CHECK(*read == expected);
    CHECK(*amended(general, " ,, ") == general);
    CHECK(amended(general, "bounce_queue_lifetime=1d,delay_warning_time=0")->lifetime(true) == 24h);
    CHECK(amended(general, "bounce_queue_lifetime=1d,delay_warning_time=0")->delay_warning == 0s);
    CHECK(amended(general, "maximal_queue_lifetime=0")->maximal_lifetime == 0s);   // one attempt
}

TEST_CASE("retry: a word that cannot be read is an error that names it, and nothing of the rest counts")
{
    const auto error = [](std::string_view words) {
        const auto read = amended({}, words);
        return read ? std::string("read") : read.error().text();
    };
    CHECK(error("maximal_queue_lifetime=10d lifetime=1d").starts_with("\"lifetime=1d\": none of minimal_backoff_time=TIME, "));
    CHECK(error("maximal_queue_lifetime").starts_with("\"maximal_queue_lifetime\": none of "));
    CHECK(error("=1d").starts_with("\"=1d\": none of "));
    CHECK(error("maximal_queue_lifetime=") == "maximal_queue_lifetime: \"\" is no time");
    CHECK(error("maximal_backoff_time=1y") == "maximal_backoff_time: \"1y\" is no time");
    CHECK(error("minimal_backoff_time=0") == "minimal_backoff_time: 0 is too short");
    CHECK(error("delay_warning_time=-1h") == "delay_warning_time: -1h is too short");
    CHECK(error("maximal_queue_lifetime=101d") == "maximal_queue_lifetime: 101d is too long");
    CHECK(error("maximal_backoff_time=9999999999") == "maximal_backoff_time: 9999999999 is too long");
}
