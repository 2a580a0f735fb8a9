#include "schedule/options.hpp"

#include "schedule/params.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::schedule;
using namespace std::chrono_literals;

namespace {

config::Snapshot snapshot(std::vector<config::Assignment> assignments)
{
    return config::Snapshot(config::Site{}, "/nonexistent", {}).with(assignments, "test");
}

}  // namespace

TEST_CASE("options: without a word, Postfix's defaults")
{
    const RetryOptions retry = retry_options(snapshot({}));
    CHECK(retry.minimal_backoff == 300s);
    CHECK(retry.maximal_backoff == 4000s);
    CHECK(retry.maximal_lifetime == 120h);
    const auto smtp = transport_options(snapshot({}), "smtp", {});
    REQUIRE(smtp);
    CHECK(smtp->window.limit == 20);
    CHECK(smtp->window.initial == 5);
    CHECK(smtp->recipient_limit == 50);
    CHECK(transport_options(snapshot({}), "local", {})->window.limit == 2);
}

TEST_CASE("options: a transport's own name outvotes the default, which outvotes ours")
{
    const auto ours = snapshot(
        {{"default_destination_concurrency_limit", "7"}, {"slow_destination_concurrency_limit", "2"}, {"slow_destination_rate_delay", "1m"}});
    CHECK(transport_options(ours, "smtp", {})->window.limit == 7);
    CHECK(transport_options(ours, "slow", {.deliveries = 3, .ahead = 2})->window.limit == 2);
    CHECK(transport_options(ours, "slow", {.deliveries = 3, .ahead = 2})->window.rate_delay == 60s);
    CHECK(transport_options(ours, "slow", {.deliveries = 3, .ahead = 2})->delivery_limit == 3);
    CHECK(transport_options(ours, "slow", {.deliveries = 3, .ahead = 2})->ahead == 2);
}

TEST_CASE("options: a malformed feedback is refused with the parameter's name")
{
    const auto wrong = transport_options(snapshot({{"slow_destination_concurrency_negative_feedback", "lots"}}), "slow", {});
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().text().starts_with("slow_destination_concurrency_negative_feedback: bad feedback \"lots\""));
}
