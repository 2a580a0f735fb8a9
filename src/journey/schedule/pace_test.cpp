#include "schedule/pace.hpp"

#include "schedule/scheduler.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <random>

using namespace posthorn;
using namespace posthorn::schedule;
using namespace std::chrono_literals;

TEST_CASE("pace: of the time since there was mail, ten minutes at most")
{
    HandClock clock;
    clock.advance(17s);
    Pace pace(clock.steady());
    pace.came(clock.steady(), 600);
    pace.left(clock.steady(), 5);
    CHECK(pace.rates(clock.steady()).left == doctest::Approx(30));          // as of ten seconds
    clock.advance(30s);
    pace.left(clock.steady(), 5);
    CHECK(pace.rates(clock.steady()).left == doctest::Approx(20));
    CHECK(pace.rates(clock.steady()).over == 30s);
    for (int i = 0; i < 60; ++i) {
        clock.advance(30s);
        pace.left(clock.steady(), 6);
    }
    const Pace::Rates rates = pace.rates(clock.steady());
    CHECK(rates.came == 0);                                     // that was half an hour ago
    CHECK(rates.left == doctest::Approx(12).epsilon(0.06));
    CHECK(rates.over > 9min);
    CHECK(rates.over <= 10min);
    clock.advance(5min);
    CHECK(pace.rates(clock.steady()).left == doctest::Approx(6).epsilon(0.12));
    clock.advance(10min);
    CHECK(pace.rates(clock.steady()).left == 0);
    clock.advance(100 * 24h);
    CHECK(pace.rates(clock.steady()).left == 0);
    pace.left(clock.steady(), 9);
    CHECK(pace.rates(clock.steady()).left >= doctest::Approx(0.9));
}

TEST_CASE("pace: whenever it is counted and asked, no more than was counted in the last ten minutes")
{
    std::mt19937 random(3);
    HandClock clock;
    const SteadyTime begin = clock.steady();
    Pace pace(begin);
    std::vector<std::pair<SteadyTime, double>> all;
    for (int i = 0; i < 5000; ++i) {
        clock.advance(std::chrono::milliseconds(random() % (i % 100 == 0 ? 900'000 : 20'000)));
        const auto count = random() % 9;
        pace.left(clock.steady(), count);
        all.emplace_back(clock.steady(), static_cast<double>(count));
        const auto rates = pace.rates(clock.steady());
        const auto from = std::chrono::floor<std::chrono::minutes>(clock.steady().time_since_epoch()) - 9min;
        double sum = 0;
        for (auto at = all.rbegin(); at != all.rend() && at->first.time_since_epoch() >= from; ++at)
            sum += at->second;
        CHECK(rates.left * static_cast<double>(rates.over.count()) / 60 == doctest::Approx(sum));
    }
}

TEST_CASE(
    "scheduler: where each recipient address is a site (recipient limit 1), the domain's pace is that of all together, those that have gone too")
{
    HandClock clock;
    Scheduler scheduler{{.transport = [](std::string_view) { return TransportOptions{.recipient_limit = 1}; }, .site_retry = 300s}, clock};
    CHECK_FALSE(scheduler.site("a.test"));
    std::vector<std::string> addresses;
    for (int i = 0; i < 6; ++i)
        addresses.push_back(fmt::format("user{}@a.test", i));
    std::vector<RoutedRecipient> routed;
    for (std::uint32_t i = 0; i < 6; ++i)
        routed.push_back({i, "lmtp", "a.test", addresses[i]});
    scheduler.activate(1, routed);
    scheduler.activate(2, {{0, "lmtp", "b.test", "user@b.test"}});
    clock.advance(60s);
    int left = 0;
    while (left < 4) {
        const auto request = scheduler.next();
        REQUIRE(request);
        if (request->message == 1)
            ++left;
        (void)scheduler.finished(request->attempt, SiteNews::answered);
    }
    const auto state = scheduler.site("a.test");
    REQUIRE(state);
    CHECK(state->transport == "lmtp");
    CHECK(state->waiting_recipients == 2);
    CHECK(state->came_per_minute == doctest::Approx(6));
    CHECK(state->left_per_minute == doctest::Approx(4));
    while (const auto request = scheduler.next())
        (void)scheduler.finished(request->attempt, SiteNews::unreachable, "away");
    CHECK_FALSE(scheduler.site("a.test"));
    CHECK(scheduler.active() == 0);
    // It had no mail meanwhile: what it did before says nothing.
    clock.advance(120s);
    scheduler.activate(3, {{0, "lmtp", "a.test", "other@a.test"}, {1, "lmtp", "a.test", "another@a.test"}});
    clock.advance(60s);
    REQUIRE(scheduler.site("a.test"));
    CHECK(scheduler.site("a.test")->came_per_minute == doctest::Approx(2));
    CHECK(scheduler.site("a.test")->left_per_minute == 0);
}

TEST_CASE("scheduler: a site's pace is of what was tried, whatever came of it, and begins anew when it had no mail")
{
    HandClock clock;
    Scheduler scheduler{{.transport = [](std::string_view) { return TransportOptions{.recipient_limit = 2}; }, .site_retry = 300s}, clock};
    const auto give = [&](MessageKey message, std::uint32_t recipients) {
        std::vector<RoutedRecipient> routed;
        for (std::uint32_t i = 0; i < recipients; ++i)
            routed.push_back({i, "smtp", "a.test", "user@a.test"});
        scheduler.activate(message, routed);
    };
    give(1, 6);
    clock.advance(60s);
    for (int i = 0; i < 2; ++i) {
        const auto request = scheduler.next();
        REQUIRE(request);
        (void)scheduler.finished(request->attempt, i == 0 ? SiteNews::answered : SiteNews::none);
    }
    auto state = scheduler.site("a.test");
    REQUIRE(state);
    CHECK(state->came_per_minute == doctest::Approx(6));
    CHECK(state->left_per_minute == doctest::Approx(4));
    const auto back = scheduler.next();
    REQUIRE(back);
    (void)scheduler.returned(back->attempt);                    // untried: it left nothing
    CHECK(scheduler.site("a.test")->left_per_minute == doctest::Approx(4));
    const auto last = scheduler.next();
    REQUIRE(last);
    CHECK(scheduler.finished(last->attempt, SiteNews::answered));
    clock.advance(120s);
    give(2, 2);
    clock.advance(60s);
    state = scheduler.site("a.test");
    CHECK(state->came_per_minute == doctest::Approx(2));
    CHECK(state->left_per_minute == 0);
}
