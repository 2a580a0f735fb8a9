// Requests that wait at a delivery process for one of its sessions.
#include "schedule/scheduler.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

using namespace posthorn;
using namespace posthorn::schedule;
using namespace std::chrono_literals;

namespace {

struct AheadFixture {
    HandClock clock;
    TransportOptions options{.window = {.initial = 2, .limit = 2, .positive = {}, .negative = {}}, .ahead = 3};
    Scheduler scheduler{{.transport = [this](std::string_view) { return options; }, .site_retry = 300s}, clock};
    MessageKey key = 0;

    void send(const std::string& site, int messages, bool small = true, const char* transport = "smtp")
    {
        for (; messages > 0; --messages)
            scheduler.activate(++key, {{0, transport, site, "x@y"}}, {.small = small});
    }
    std::vector<Request> go(bool ahead = true)
    {
        std::vector<Request> all;
        while (auto request = scheduler.next(ahead))
            all.push_back(std::move(*request));
        return all;
    }
    static std::ptrdiff_t ahead(const std::vector<Request>& requests) { return std::ranges::count(requests, true, &Request::ahead); }
};

}  // namespace

TEST_CASE_FIXTURE(AheadFixture, "ahead: past the window so many for each session are given out, and say so; the window stays what it was")
{
    send("a", 20);
    const auto first = go();
    CHECK(first.size() == 8);
    CHECK(ahead(first) == 6);
    for (std::size_t i = 0; i < first.size(); ++i) {
        CHECK(first[i].window == 2);
        CHECK(first[i].ahead == (i >= 2));
    }
    CHECK(scheduler.site("a")->in_flight == 2);
    CHECK(scheduler.site("a")->waiting_messages == 18);       // 6 of them at hand, for the sessions
    CHECK(scheduler.site("a")->waiting_recipients == 18);
    CHECK(scheduler.stands(first[1].message).at(0).wait == handoff::Wait::delivery);
    CHECK(scheduler.stands(first[2].message).at(0).wait == handoff::Wait::window);
    CHECK(scheduler.stands(first[2].message).at(0).ahead == 0);
    CHECK(scheduler.stands(first[7].message).at(0).ahead == 5);
    scheduler.finished(first[0].attempt, SiteNews::answered);
    CHECK(scheduler.stands(first[2].message).at(0).wait == handoff::Wait::delivery);
    const auto next = go();
    REQUIRE(next.size() == 1);                              // the one that waited has the session; another waits in its place
    CHECK(next[0].ahead);
}

TEST_CASE_FIXTURE(AheadFixture, "ahead: none where the caller has no room, of large messages, or with a rate delay")
{
    send("a", 20);
    CHECK(go(false).size() == 2);
    const auto more = go(true);
    CHECK(more.empty());                                    // the site is looked at again when something of it ends
    send("b", 20, false);
    CHECK(go().size() == 2);
    options.window.rate_delay = 1s;
    send("c", 20, true, "slow");
    CHECK(go().size() == 1);
    options.window.rate_delay = 0s;
    options.rate_delay = 1s;
    send("d", 20, true, "slower");
    CHECK(go().size() == 1);
}

TEST_CASE_FIXTURE(AheadFixture, "ahead: none once an MX set has asked for less")
{
    send("a", 20);
    auto flights = go();
    SiteNotice notice;
    notice.set = "big";
    notice.refused_at = 1;
    clock.advance(1s);
    scheduler.heard(flights[0].attempt, "a", notice);
    for (const Request& flight : flights)
        scheduler.finished(flight.attempt, SiteNews::answered);
    flights = go();
    CHECK(flights.size() == 1);
    CHECK(ahead(flights) == 0);
}

TEST_CASE_FIXTURE(AheadFixture, "ahead: none while a site could not be had, nor before it takes as many sessions as before")
{
    options.window.initial = options.window.limit = 4;
    options.window.cohort_limit = 2;
    send("a", 60);
    auto flights = go();
    REQUIRE(flights.size() == 16);
    scheduler.finished(flights.back().attempt, SiteNews::unreachable, "gone");      // 4 becomes 3
    flights.pop_back();
    for (const Request& flight : flights)
        scheduler.returned(flight.attempt);
    flights = go();
    CHECK(flights.size() == 3);
    CHECK(ahead(flights) == 0);
    scheduler.finished(flights[0].attempt, SiteNews::answered);                      // it answers, and is 4 again
    CHECK(ahead(go()) == 12);
}

TEST_CASE_FIXTURE(AheadFixture, "ahead: what comes back untried goes out again, before the others of its site and once")
{
    send("a", 10);
    const auto first = go();
    REQUIRE(first.size() == 8);
    CHECK_FALSE(scheduler.returned(first[5].attempt));
    CHECK_FALSE(scheduler.returned(first[5].attempt));      // told twice
    CHECK_FALSE(scheduler.finished(first[5].attempt, SiteNews::answered));
    const auto again = go();
    REQUIRE(again.size() == 1);
    CHECK(again[0].message == first[5].message);
    CHECK(again[0].recipients == first[5].recipients);
    CHECK(scheduler.finished(again[0].attempt, SiteNews::answered));
}

TEST_CASE_FIXTURE(AheadFixture, "ahead: what comes back untried from a dead site is suspended with the reason; of a withdrawn message it is the end")
{
    send("a", 8);
    const auto flights = go();
    REQUIRE(flights.size() == 8);
    scheduler.finished(flights[0].attempt, SiteNews::unreachable, "connection refused");
    scheduler.finished(flights[1].attempt, SiteNews::unreachable, "connection refused");
    CHECK_FALSE(scheduler.returned(flights[2].attempt));
    const auto suspended = scheduler.take_suspended();
    REQUIRE(suspended);
    CHECK(suspended->message == flights[2].message);
    CHECK(suspended->recipients == flights[2].recipients);
    CHECK(suspended->reason == "connection refused");
    CHECK(scheduler.suspended_done(*suspended));
    CHECK_FALSE(scheduler.withdraw(flights[3].message));
    CHECK(scheduler.returned(flights[3].attempt));
    CHECK_FALSE(scheduler.is_active(flights[3].message));
    CHECK(go().empty());
}

TEST_CASE_FIXTURE(AheadFixture, "ahead: it takes no slot of a transport; one of another site goes before it gets one")
{
    options.delivery_limit = 3;
    send("slow", 20);
    auto slow = go();
    CHECK(slow.size() == 8);
    send("b", 1);
    CHECK(go().size() == 1);                                // the third
    send("c", 1);
    CHECK(go().empty());
    for (int i = 0; i < 8; ++i)                             // all that was given out; those ahead took the place of those before
        scheduler.finished(slow[static_cast<std::size_t>(i)].attempt, SiteNews::answered);
    const auto rest = go();
    CHECK(std::ranges::count(rest, "c", &Request::site) == 1);
    CHECK(std::ranges::count(rest, false, &Request::ahead) == 2);
}

TEST_CASE_FIXTURE(AheadFixture, "ahead: whatever comes back, each recipient is settled exactly once, and sessions are never more than the window")
{
    std::mt19937 random(5);
    options.recipient_limit = 3;
    options.window.cohort_limit = 5;
    options.delivery_limit = 9;
    std::map<std::pair<MessageKey, std::uint32_t>, int> settled;
    std::vector<Request> flying;
    std::size_t expected = 0, done = 0, back = 0;
    for (int step = 0; step < 20'000 || scheduler.active() > 0; ++step) {
        REQUIRE(step < 300'000);
        if (step < 20'000 && random() % 4 == 0) {
            std::vector<RoutedRecipient> to;
            const std::string site = "s" + std::to_string(random() % 3);
            for (std::uint32_t i = 0; i < 1 + random() % 8; ++i)
                to.push_back({i, "smtp", site, "x@y"});
            expected += to.size();
            scheduler.activate(++key, std::move(to), {.small = random() % 8 != 0});
        }
        if (random() % 2)
            if (auto request = scheduler.next(random() % 4 != 0))
                flying.push_back(*request);
        if (!flying.empty() && random() % 2) {
            const std::size_t at = random() % flying.size();
            const Request& one = flying[at];
            if (one.ahead && random() % 3 == 0) {
                done += scheduler.returned(one.attempt);
                ++back;
            } else {
                for (const auto index : one.recipients)
                    ++settled[{one.message, index}];
                done += scheduler.finished(one.attempt, random() % 100 == 0 ? SiteNews::unreachable : SiteNews::answered, "gone");
            }
            flying.erase(flying.begin() + static_cast<std::ptrdiff_t>(at));
        }
        while (auto suspended = scheduler.take_suspended()) {
            for (const auto index : suspended->recipients)
                ++settled[{suspended->message, index}];
            done += scheduler.suspended_done(*suspended);
        }
        if (const auto state = scheduler.site("s1"); state && step % 16 == 0)
            REQUIRE(state->in_flight <= options.delivery_limit);
        clock.advance(std::chrono::milliseconds(random() % 2000));
    }
    CHECK(settled.size() == expected);
    for (const auto& [recipient, times] : settled)
        REQUIRE(times == 1);
    CHECK(done == key);
    CHECK(back > 100);
}
