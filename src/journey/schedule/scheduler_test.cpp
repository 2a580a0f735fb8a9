#include "schedule/scheduler.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

using namespace posthorn;
using namespace posthorn::schedule;
using namespace std::chrono_literals;

namespace {

struct SchedulerFixture {
    HandClock clock;
    std::map<std::string, TransportOptions> transports;
    Scheduler scheduler{{.transport = [this](std::string_view name) { return transports[std::string(name)]; }, .site_retry = 300s}, clock};

    void activate(MessageKey message, const std::string& site, std::uint32_t recipients = 1, const std::string& transport = "smtp")
    {
        std::vector<std::string> addresses;
        for (std::uint32_t i = 0; i < recipients; ++i)
            addresses.push_back("u" + std::to_string(i) + "@" + site);
        std::vector<RoutedRecipient> routed;
        for (std::uint32_t i = 0; i < recipients; ++i)
            routed.push_back({i, transport, site, addresses[i]});
        scheduler.activate(message, routed);
    }
    std::vector<Request> take_all()
    {
        std::vector<Request> requests;
        while (auto request = scheduler.next())
            requests.push_back(*request);
        return requests;
    }
};

}  // namespace

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a message goes out at once, and is done when its request is")
{
    activate(1, "a.test");
    const auto request = scheduler.next();
    REQUIRE(request);
    CHECK(request->message == 1);
    CHECK(request->site == "a.test");
    CHECK(request->recipients == std::vector<std::uint32_t>{0});
    CHECK_FALSE(scheduler.next());
    CHECK(scheduler.active() == 1);
    CHECK(scheduler.finished(request->attempt, SiteNews::answered));
    CHECK(scheduler.active() == 0);
    CHECK_FALSE(scheduler.finished(request->attempt, SiteNews::answered));    // a verdict told twice counts once
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: mail that is moved counts where it goes, not where it was")
{
    transports["smtp"].window.initial = transports["smtp"].window.limit = 1;
    transports["local"].window.initial = transports["local"].window.limit = 1;
    for (const MessageKey message : {1, 2, 3})
        activate(message, "a.test");
    for (int moved = 0; moved < 2; ++moved) {
        const auto request = scheduler.next();
        REQUIRE(request);
        CHECK(request->site == "a.test");
        CHECK_FALSE(scheduler.moved(request->attempt, {{0, "local", "local:a.test", "u0@a.test"}}));
    }
    CHECK(scheduler.site("a.test")->in_flight == 0);            // the third one may go
    CHECK(scheduler.site("local:a.test")->waiting_messages == 2);
    std::vector<Request> now = take_all();
    REQUIRE(now.size() == 2);                                   // of those that were moved one after the other
    std::ranges::sort(now, {}, &Request::site);
    CHECK(now[1].transport == "local");
    CHECK(now[1].message == 1);
    scheduler.finished(now[1].attempt, SiteNews::unreachable, "no room");
    CHECK(scheduler.site("local:a.test")->window == 1);
    CHECK_FALSE(scheduler.site("a.test")->dead);
    CHECK(scheduler.finished(now[0].attempt, SiteNews::answered));
    CHECK_FALSE(scheduler.moved(now[0].attempt, {}));           // told twice

    activate(4, "b.test");
    const auto last = scheduler.next();
    REQUIRE(last);
    CHECK_FALSE(scheduler.withdraw(4));
    CHECK(scheduler.moved(last->attempt, {{0, "local", "local:b.test", "u0@b.test"}}));     // deleted meanwhile: it goes nowhere
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a list of 50 000 recipients does not hold up a single message to the same site")
{
    activate(1, "a.test", 50'000);
    auto first = take_all();                                                   // the list fills the window
    CHECK(first.size() == 5);
    activate(2, "a.test");
    CHECK_FALSE(scheduler.next());
    scheduler.finished(first[0].attempt, SiteNews::none);
    scheduler.finished(first[1].attempt, SiteNews::none);
    std::vector<Request> then = take_all();
    REQUIRE(then.size() == 2);
    CHECK((then[0].message == 2 || then[1].message == 2));
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a list is cut into requests of recipient_limit, each recipient once")
{
    transports["smtp"].recipient_limit = 50;
    activate(1, "a.test", 120);
    std::set<std::uint32_t> seen;
    std::vector<std::size_t> sizes;
    bool done = false;
    while (auto request = scheduler.next()) {
        sizes.push_back(request->recipients.size());
        seen.insert(request->recipients.begin(), request->recipients.end());
        done = scheduler.finished(request->attempt, SiteNews::answered);
    }
    CHECK(sizes == std::vector<std::size_t>{50, 50, 20});
    CHECK(seen.size() == 120);
    CHECK(done);
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: no slot of one destination waits for another's")
{
    for (MessageKey message = 0; message < 100; ++message)
        activate(message, "slow.test");
    const auto slow = take_all();                                              // never answers
    CHECK(slow.size() == 5);
    for (MessageKey message = 1000; message < 1200; ++message)
        activate(message, "s" + std::to_string(message) + ".test");
    const auto others = take_all();
    CHECK(others.size() == 200);                                               // at once, without the clock moving
    for (const auto& request : others)
        CHECK(request.site != "slow.test");
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a dead site suspends what waits for it, with the reason, until it is tried again")
{
    for (MessageKey message = 1; message <= 8; ++message)
        activate(message, "dead.test");
    const auto requests = take_all();
    REQUIRE(requests.size() == 5);
    for (const auto& request : requests)
        scheduler.finished(request.attempt, SiteNews::unreachable, "connect to dead.test[192.0.2.1]:25: Connection refused");
    CHECK(scheduler.site("dead.test")->dead);
    std::set<MessageKey> suspended;
    while (auto entry = scheduler.take_suspended()) {
        CHECK(entry->reason == "connect to dead.test[192.0.2.1]:25: Connection refused");
        suspended.insert(entry->message);
        CHECK(scheduler.suspended_done(*entry));
    }
    CHECK(suspended == std::set<MessageKey>{6, 7, 8});

    activate(9, "dead.test");                                                  // still dead
    CHECK_FALSE(scheduler.next());
    REQUIRE(scheduler.take_suspended());
    clock.advance(300s);
    activate(10, "dead.test");
    CHECK(scheduler.next());
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a flush revives dead sites")
{
    activate(1, "dead.test");
    transports["smtp"].window.initial = 1;
    for (MessageKey message = 2; message <= 6; ++message)
        activate(message, "dead.test");
    for (const auto& request : take_all())
        scheduler.finished(request.attempt, SiteNews::unreachable, "x");
    CHECK(scheduler.site("dead.test")->dead);
    scheduler.revive_all();
    activate(20, "dead.test");
    CHECK(scheduler.next());
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a rate delay holds up its own site, and says when to look again")
{
    transports["slow"].window.rate_delay = 10s;
    for (MessageKey message = 1; message <= 3; ++message)
        activate(message, "r.test", 1, "slow");
    auto request = scheduler.next();
    REQUIRE(request);
    CHECK_FALSE(scheduler.next());
    scheduler.finished(request->attempt, SiteNews::answered);
    CHECK_FALSE(scheduler.next());
    CHECK(scheduler.wake_at() == clock.steady() + 10s);
    activate(50, "other.test");
    CHECK(scheduler.next());
    clock.advance(10s);
    CHECK(scheduler.next());
    CHECK_FALSE(scheduler.next());
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a transport's ceiling is shared in turns by its sites")
{
    transports["smtp"].delivery_limit = 4;
    for (MessageKey message = 0; message < 40; ++message)
        activate(message, "s" + std::to_string(message % 4) + ".test");
    std::map<std::string, int> started;
    for (int round = 0; round < 10; ++round)
        for (const auto& request : take_all()) {
            ++started[request.site];
            scheduler.finished(request.attempt, SiteNews::answered);
        }
    CHECK(started.size() == 4);
    for (const auto& [site, count] : started)
        CHECK(count == 10);
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: with a recipient limit of one, a destination is one address")
{
    transports["smtp"].recipient_limit = 1;
    transports["smtp"].window = {.initial = 1, .limit = 1};
    activate(1, "a.test", 3);
    CHECK(take_all().size() == 3);
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a withdrawn message sends nothing more; what is in flight still counts")
{
    activate(1, "a.test", 400);
    const auto requests = take_all();
    CHECK_FALSE(scheduler.withdraw(1));
    CHECK_FALSE(scheduler.next());
    for (std::size_t i = 0; i < requests.size(); ++i)
        CHECK(scheduler.finished(requests[i].attempt, SiteNews::answered) == (i + 1 == requests.size()));
    activate(2, "b.test");
    CHECK(scheduler.withdraw(2));
    CHECK_FALSE(scheduler.next());
    CHECK(scheduler.active() == 0);
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a transport without a process suspends its recipients")
{
    activate(1, "a.test", 1, "lmtp");
    scheduler.transport_failed("lmtp", "mail transport unavailable");
    CHECK_FALSE(scheduler.next());
    const auto suspended = scheduler.take_suspended();
    REQUIRE(suspended);
    CHECK(suspended->reason == "mail transport unavailable");
    CHECK(scheduler.suspended_done(*suspended));
    clock.advance(60s);
    activate(2, "a.test", 1, "lmtp");
    CHECK(scheduler.next());
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: whatever happens, each recipient is given out or suspended exactly once, and nothing is left")
{
    std::mt19937 random(11);
    transports["smtp"].recipient_limit = 7;
    transports["rate"].window.rate_delay = 1s;
    std::map<std::pair<MessageKey, std::uint32_t>, int> given;
    std::vector<Request> flying;
    MessageKey next_message = 1;
    std::size_t expected = 0, done = 0;
    for (int step = 0; step < 20'000 || scheduler.active() > 0; ++step) {
        REQUIRE(step < 200'000);
        if (step < 20'000 && random() % 4 == 0) {
            const auto recipients = static_cast<std::uint32_t>(1 + random() % 30);
            activate(next_message++, "s" + std::to_string(random() % 20), recipients, random() % 5 ? "smtp" : "rate");
            expected += recipients;
        }
        if (random() % 2)
            if (auto request = scheduler.next()) {
                for (const auto index : request->recipients)
                    ++given[{request->message, index}];
                flying.push_back(*request);
            }
        if (!flying.empty() && random() % 2) {
            const std::size_t at = random() % flying.size();
            const SiteNews news = random() % 6 == 0 ? SiteNews::unreachable : random() % 2 ? SiteNews::answered : SiteNews::none;
            done += scheduler.finished(flying[at].attempt, news, "gone");
            flying.erase(flying.begin() + static_cast<std::ptrdiff_t>(at));
        }
        while (auto suspended = scheduler.take_suspended()) {
            for (const auto index : suspended->recipients)
                ++given[{suspended->message, index}];
            done += scheduler.suspended_done(*suspended);
        }
        clock.advance(std::chrono::milliseconds(random() % 2000));
    }
    CHECK(given.size() == expected);
    for (const auto& [recipient, times] : given)
        REQUIRE(times == 1);
    CHECK(done == next_message - 1);
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a site whose mail was withdrawn during a long rate delay is forgotten in time, and holds up nobody")
{
    transports["smtp"].window.rate_delay = 600s;
    activate(1, "a.test");
    activate(2, "a.test");
    const auto first = scheduler.next();
    REQUIRE(first);
    scheduler.finished(first->attempt, SiteNews::answered);
    CHECK_FALSE(scheduler.next());                              // the second waits for the end of the delay
    CHECK(scheduler.withdraw(2));
    clock.advance(301s);
    CHECK_FALSE(scheduler.next());                              // it returns
    clock.advance(300s);
    CHECK_FALSE(scheduler.next());
    clock.advance(301s);
    CHECK_FALSE(scheduler.next());
    CHECK_FALSE(scheduler.site("a.test"));
    activate(3, "a.test");
    CHECK(scheduler.next());
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: a place under a ceiling that its site has no use for any more goes to the next one that waits")
{
    SiteNotice notice;
    notice.set = "mx.test";
    notice.sessions = 1;
    std::vector<Request> standing;
    for (const char* site : {"b.test", "c.test", "a.test"}) {
        activate(standing.size() + 1, site);
        const auto request = scheduler.next();
        REQUIRE(request);
        scheduler.heard(request->attempt, site, notice);
        standing.push_back(*request);
        if (standing.size() < 3)
            scheduler.finished(request->attempt, SiteNews::answered);
    }
    activate(12, "b.test");
    activate(13, "c.test");
    CHECK_FALSE(scheduler.next());                              // one at once
    scheduler.finished(standing[2].attempt, SiteNews::answered);
    CHECK(scheduler.withdraw(12));                              // an operator has it deleted just now
    const auto next = scheduler.next();
    REQUIRE(next);
    CHECK(next->message == 13);
}

TEST_CASE("scheduler: a pace that opens between two looks at the clock is found open or closed, and asked no more")
{
    /// Each look finds it later; an endless loop is ended.
    class Ticking final : public Clock {
    public:
        WallTime wall() const override { return {}; }
        SteadyTime steady() const override
        {
            if (++looks > 100'000)
                throw std::runtime_error("looked at too often");
            return SteadyTime{1h} + looks * 1ms;
        }
        mutable int looks = 0;
    };
    for (int pace = 1; pace < 60; ++pace) {
        Ticking clock;
        Scheduler scheduler{{.transport = [](std::string_view) { return TransportOptions{}; }}, clock};
        SiteNotice notice;
        notice.set = "mx.test";
        notice.interval = std::chrono::milliseconds{pace};
        const auto activate = [&](MessageKey message, const char* site) {
            scheduler.activate(message, {{.index = 0, .transport = "smtp", .site = site, .address = "u@x.test"}});
        };
        for (const char* site : {"a.test", "b.test"}) {
            activate(1, site);
            std::optional<Request> request;
            while (!request)
                request = scheduler.next();
            scheduler.heard(request->attempt, site, notice);
            scheduler.finished(request->attempt, SiteNews::answered);
        }
        for (MessageKey message = 10; message < 20; ++message)
            activate(message, message % 2 == 0 ? "a.test" : "b.test");
        int taken = 0;
        CHECK_NOTHROW([&] {
            while (taken < 10)
                if (const auto request = scheduler.next()) {
                    scheduler.finished(request->attempt, SiteNews::answered);
                    ++taken;
                }
        }());
        CHECK(taken == 10);
    }
}

TEST_CASE_FIXTURE(SchedulerFixture, "scheduler: what is withheld of a message is the caller's; what was given out, and the rest, go on")
{
    transports["smtp"].window.initial = transports["smtp"].window.limit = 1;
    transports["smtp"].recipient_limit = 2;
    activate(1, "a.test", 5);
    activate(2, "a.test");
    const auto first = scheduler.next();
    REQUIRE(first);
    CHECK(first->recipients == std::vector<std::uint32_t>{0, 1});
    CHECK(scheduler.withhold(1, {0, 3, 4, 7}) == std::vector<std::uint32_t>{3, 4});
    CHECK(scheduler.withhold(3, {0}).empty());
    CHECK_FALSE(scheduler.finished(first->attempt, SiteNews::answered));
    const auto second = scheduler.next();
    REQUIRE(second);
    CHECK(second->message == 2);                               // its turn
    CHECK(scheduler.finished(second->attempt, SiteNews::answered));
    const auto third = scheduler.next();
    REQUIRE(third);
    CHECK(third->recipients == std::vector<std::uint32_t>{2});
    CHECK_FALSE(scheduler.finished(third->attempt, SiteNews::answered));
    CHECK_FALSE(scheduler.next());
    CHECK(scheduler.suspended_done({.message = 1, .recipients = {3, 4}, .reason = {}, .until = {}}));
    CHECK(scheduler.active() == 0);
    activate(4, "a.test", 2);
    CHECK(scheduler.withhold(4, {0, 1}).size() == 2);
    CHECK_FALSE(scheduler.next());
    CHECK(scheduler.suspended_done({.message = 4, .recipients = {0, 1}, .reason = {}, .until = {}}));
}
