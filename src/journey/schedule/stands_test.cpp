// Every wait has a name: what the scheduler says of each.
#include "schedule/scheduler.hpp"

#include <doctest/doctest.h>

#include <map>

using namespace posthorn;
using namespace posthorn::schedule;
using namespace std::chrono_literals;

namespace {

struct StandsFixture {
    HandClock clock;
    std::map<std::string, TransportOptions> transports;
    Scheduler scheduler{{.transport = [this](std::string_view name) { return transports[std::string(name)]; }, .site_retry = 300s}, clock};

    void activate(MessageKey message, const std::string& site, std::uint32_t recipients = 1, const std::string& transport = "smtp")
    {
        std::vector<RoutedRecipient> routed;
        for (std::uint32_t i = 0; i < recipients; ++i)
            routed.push_back({i, transport, site, "u@x.test"});
        scheduler.activate(message, routed);
    }
    /// "site: 0 1 delivery", one for each stand.
    std::string stands(MessageKey message)
    {
        std::string text;
        for (const Scheduler::Stand& stand : scheduler.stands(message)) {
            text += text.empty() ? "" : "; ";
            text += stand.site + ":";
            for (const std::uint32_t index : stand.recipients)
                text += " " + std::to_string(index);
            text += " " + std::string(handoff::name_of(stand.wait).name);
        }
        return text;
    }
};

}  // namespace

TEST_CASE_FIXTURE(StandsFixture, "stands: what is under way, what waits for the window, and how much goes before it")
{
    transports["smtp"].window.initial = transports["smtp"].window.limit = 1;
    transports["smtp"].recipient_limit = 2;
    activate(1, "a.test", 3);
    CHECK(stands(1) == "a.test: 0 1 2 room-in-delivery");
    const auto request = scheduler.next();
    REQUIRE(request);
    activate(2, "a.test");
    clock.advance(5s);
    CHECK(stands(1) == "a.test: 0 1 delivery; a.test: 2 concurrency-window");
    CHECK(clock.steady() - scheduler.stands(1)[0].since == 5s);
    CHECK(stands(2) == "a.test: 0 concurrency-window");
    CHECK(scheduler.stands(2)[0].ahead == 1);
    CHECK(scheduler.stands(7).empty());
    const auto site = scheduler.site("a.test");
    CHECK(site->waiting_recipients == 2);
    CHECK(site->transport == "smtp");
    scheduler.finished(request->attempt, SiteNews::answered);
    CHECK(stands(2) == "a.test: 0 turn");
}

TEST_CASE_FIXTURE(StandsFixture, "stands: rate delays and the process limit have their names and ends")
{
    transports["slow"].window.rate_delay = 10s;
    activate(1, "b.test", 1, "slow");
    activate(2, "b.test", 1, "slow");
    scheduler.finished(scheduler.next()->attempt, SiteNews::answered);
    CHECK_FALSE(scheduler.next());
    CHECK(stands(2) == "b.test: 0 rate-delay");
    CHECK(scheduler.stands(2)[0].until - clock.steady() == 10s);

    transports["paced"].rate_delay = 7s;
    activate(3, "c.test", 1, "paced");
    activate(4, "d.test", 1, "paced");
    REQUIRE(scheduler.next());
    CHECK_FALSE(scheduler.next());
    CHECK(stands(4) == "d.test: 0 transport-rate-delay");
    CHECK(scheduler.stands(4)[0].until - clock.steady() == 7s);

    transports["few"].delivery_limit = 1;
    activate(5, "e.test", 1, "few");
    activate(6, "f.test", 1, "few");
    REQUIRE(scheduler.next());
    CHECK_FALSE(scheduler.next());
    CHECK(stands(6) == "f.test: 0 process-limit");
}

TEST_CASE_FIXTURE(StandsFixture, "stands: what a dead site or transport holds up says so, with the reason and the end")
{
    transports["smtp"].window.initial = 1;
    activate(1, "a.test");
    const auto request = scheduler.next();
    scheduler.finished(request->attempt, SiteNews::unreachable, "connect to a.test: Connection refused");
    auto site = scheduler.site("a.test");
    REQUIRE(site->dead);
    CHECK(site->dead_until - clock.steady() == 300s);
    activate(2, "a.test");
    CHECK(stands(2) == ": 0 dead-site");
    CHECK(scheduler.stands(2)[0].reason == "connect to a.test: Connection refused");
    scheduler.transport_failed("smtp", "mail transport unavailable");
    CHECK(scheduler.site("a.test")->transport_reason == "mail transport unavailable");
}
