#include "schedule/shape.hpp"

#include "schedule/scheduler.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::schedule;
using namespace std::chrono_literals;

namespace {

SiteNotice slower()
{
    SiteNotice notice;
    notice.set = "mx.test";
    notice.slower = true;
    notice.said = "host mx.test said: 421 slow down";
    return notice;
}
SiteNotice refused(std::uint32_t standing)
{
    SiteNotice notice;
    notice.set = "mx.test";
    notice.refused_at = standing;
    return notice;
}

/// Starts what may start, at the set's own pace, for so long.
unsigned starts_within(Shape& shape, HandClock& clock, std::chrono::seconds time)
{
    unsigned starts = 0;
    for (const SteadyTime end = clock.steady() + time; clock.steady() < end; clock.advance(1s)) {
        shape.recover(clock.steady());
        while (shape.open(clock.steady()) && starts < 100'000) {
            shape.started(clock.steady());
            shape.ended();
            ++starts;
            if (shape.per_minute() == 0)
                break;
        }
    }
    return starts;
}

}  // namespace

TEST_CASE("shape: slower halves rate and concurrency; both come back by addition, and nothing of it is left")
{
    HandClock clock;
    Shape shape;
    for (int i = 0; i < 40; ++i) {
        shape.started(clock.steady());
        clock.advance(1s);
    }
    for (int i = 0; i < 32; ++i)
        shape.ended();
    CHECK(shape.in_flight() == 8);
    CHECK(shape.heard(slower(), clock.steady(), clock.steady()) == Shape::Change::slower);
    CHECK(shape.per_minute() == doctest::Approx(20));
    CHECK(shape.ceiling() == 4);
    const auto back = shape.recovered_at(clock.steady());
    CHECK(back > clock.steady());
    for (int i = 0; i < 8; ++i)
        shape.ended();
    CHECK(starts_within(shape, clock, 60s) == doctest::Approx(20).epsilon(0.1));
    CHECK(starts_within(shape, clock, 60s) == doctest::Approx(22).epsilon(0.1));    // a twentieth of 40 a minute
    shape.recover(clock.steady());
    CHECK(shape.ceiling() == 6);
    while (clock.steady() < back)
        clock.advance(60s);
    shape.recover(clock.steady());
    CHECK(shape.empty(clock.steady()));
    CHECK(shape.open(clock.steady()));
}

TEST_CASE("shape: answers to what was sent before the decrease are no news; one to what was sent after is")
{
    HandClock clock;
    Shape shape;
    for (int i = 0; i < 32; ++i)
        shape.started(clock.steady());
    const SteadyTime begun = clock.steady();
    clock.advance(1s);
    CHECK(shape.heard(slower(), begun, clock.steady()) == Shape::Change::slower);
    CHECK(shape.ceiling() == 16);
    for (int i = 0; i < 31; ++i)
        CHECK(!shape.heard(slower(), begun, clock.steady()));
    CHECK(shape.ceiling() == 16);
    clock.advance(1s);
    CHECK(shape.heard(slower(), clock.steady(), clock.steady()) == Shape::Change::slower);
    CHECK(shape.per_minute() == doctest::Approx(8));
    SiteNotice silence = slower();
    silence.suspend = 600s;
    CHECK(shape.heard(silence, begun, clock.steady()) == Shape::Change::suspended);     // that is more than what was heard before
    CHECK(shape.suspended(clock.steady()));
    CHECK(!shape.heard(silence, begun, clock.steady()));
}

TEST_CASE("shape: never below one delivery at once and one mail a minute")
{
    HandClock clock;
    Shape shape;
    for (int i = 0; i < 20; ++i) {
        shape.started(clock.steady());
        clock.advance(1s);
        shape.heard(slower(), clock.steady(), clock.steady());
        shape.ended();
    }
    CHECK(shape.ceiling() == 1);
    CHECK(shape.per_minute() >= 1);
    clock.advance(61s);
    CHECK(shape.open(clock.steady()));
}

TEST_CASE("shape: a refused session lowers to the last good number, which is tried past slowly, and ever more slowly where it is the same again")
{
    HandClock clock;
    Shape shape;
    for (int i = 0; i < 6; ++i)
        shape.started(clock.steady());
    CHECK(shape.heard(refused(5), clock.steady(), clock.steady()) == Shape::Change::refused);
    shape.ended();
    CHECK(shape.room() == 5);
    CHECK(shape.per_minute() == 0);
    CHECK(!shape.open(clock.steady()));
    clock.advance(299s);
    shape.recover(clock.steady());
    CHECK(shape.room() == 5);
    clock.advance(2s);
    shape.recover(clock.steady());
    CHECK(shape.room() == 6);
    CHECK(shape.open(clock.steady()));
    shape.started(clock.steady());
    clock.advance(1s);
    CHECK(shape.heard(refused(5), clock.steady() - 1s, clock.steady()) == Shape::Change::refused);
    shape.ended();
    CHECK(shape.room() == 5);
    clock.advance(599s);
    shape.recover(clock.steady());
    CHECK(shape.room() == 5);
    clock.advance(2s);
    shape.recover(clock.steady());
    CHECK(shape.room() == 6);
}

TEST_CASE("shape: silence is kept, then one at a time; time spent in silence gives nothing back")
{
    HandClock clock;
    Shape shape;
    for (int i = 0; i < 8; ++i)
        shape.started(clock.steady());
    SiteNotice notice = slower();
    notice.slower = false;
    notice.suspend = 2h;
    CHECK(shape.heard(notice, clock.steady(), clock.steady()) == Shape::Change::suspended);
    for (int i = 0; i < 8; ++i)
        shape.ended();
    clock.advance(2h - 1s);
    shape.recover(clock.steady());
    CHECK(!shape.open(clock.steady()));
    clock.advance(10s);
    shape.recover(clock.steady());
    CHECK(shape.open(clock.steady()));
    CHECK(shape.room() == 1);
    clock.advance(61s);
    shape.recover(clock.steady());
    CHECK(shape.room() == 2);
}

TEST_CASE("shape: a rule's number and rate neither grow nor end, and what is learned counts below them")
{
    HandClock clock;
    Shape shape;
    shape.rule(2, 100ms);
    shape.started(clock.steady());
    CHECK(!shape.open(clock.steady()));
    clock.advance(100ms);
    CHECK(shape.open(clock.steady()));
    shape.started(clock.steady());
    clock.advance(24h);
    shape.recover(clock.steady());
    CHECK(shape.full());
    CHECK(shape.heard(refused(5), clock.steady(), clock.steady()));
    CHECK(shape.room() == 2);
    CHECK(!shape.empty(clock.steady()));
}

TEST_CASE("scheduler: what an MX set asks for holds back the sites that it serves, and no other; sites that wait for room take turns")
{
    HandClock clock;
    SchedulerOptions options;
    options.transport = [](std::string_view) { return TransportOptions{.window = {.initial = 20, .limit = 20, .positive = {}, .negative = {}}}; };
    Scheduler scheduler(options, clock);
    MessageKey key = 0;
    const auto send = [&](std::string site) { scheduler.activate(++key, {{0, "smtp", site, "x@y"}}); };
    const auto go = [&] {
        std::vector<Request> all;
        while (auto request = scheduler.next())
            all.push_back(std::move(*request));
        return all;
    };
    for (int i = 0; i < 4; ++i) {
        send("one");
        send("two");
        send("three");
    }
    auto flights = go();
    REQUIRE(flights.size() == 12);
    clock.advance(1s);
    // Ordinary ends tell which hosts serve whom; one of them asks for less.
    for (const Request& request : flights) {
        SiteNotice notice = slower();
        notice.set = request.site == "three" ? "small" : "big";
        notice.slower = false;
        if (&request == &flights.front()) {
            notice.set = "big";
            notice.refused_at = 2;
        }
        scheduler.heard(request.attempt, request.site, notice);
    }
    for (const Request& request : flights)
        scheduler.finished(request.attempt, SiteNews::answered);
    for (int i = 0; i < 5; ++i) {
        send("one");
        send("two");
        send("three");
    }
    flights = go();
    CHECK(std::ranges::count(flights, "three", &Request::site) == 5);
    REQUIRE(flights.size() == 7);
    CHECK(scheduler.site("one")->set == "big");
    CHECK(scheduler.site("two")->ceiling == 2);
    CHECK(scheduler.site("three")->set.empty());
    // As they end, the others follow, two at a time, whichever site they are of.
    std::size_t one = 0, two = 0;
    while (!flights.empty()) {
        for (const Request& request : flights) {
            one += request.site == "one";
            two += request.site == "two";
            CHECK(request.ceiling == (request.site == "three" ? 0 : 2));
            scheduler.finished(request.attempt, SiteNews::answered);
        }
        flights = go();
        CHECK(flights.size() <= 2);
    }
    CHECK(one == 5);
    CHECK(two == 5);
    CHECK(scheduler.active() == 0);
}

TEST_CASE("scheduler: a rule for one domain holds for all that the same hosts serve, as long as it is said; the strictest counts")
{
    HandClock clock;
    SchedulerOptions options;
    options.transport = [](std::string_view) { return TransportOptions{.window = {.initial = 20, .limit = 20, .positive = {}, .negative = {}}}; };
    Scheduler scheduler(options, clock);
    MessageKey key = 0;
    const auto send = [&](std::string site, std::uint32_t sessions) {
        scheduler.activate(++key, {{0, "smtp", site, "x@y"}});
        auto request = scheduler.next();
        REQUIRE(request);
        scheduler.heard(request->attempt, request->site, {.set = "big", .sessions = sessions, .said = {}});
        scheduler.finished(request->attempt, SiteNews::answered);
    };
    const auto at_once = [&] { return scheduler.site("other")->ceiling; };
    send("named", 3);
    send("other", 0);
    CHECK(at_once() == 3);
    send("named too", 2);
    send("other", 0);
    CHECK(at_once() == 2);
    send("named too", 0);                                   // its line has gone from the file
    CHECK(at_once() == 3);
    send("named", 0);
    CHECK(at_once() == 0);
}

TEST_CASE("scheduler: a suspended MX set gives its recipients back with the reason and the time; a flush ends the silence; the memory of it ends too")
{
    HandClock clock;
    SchedulerOptions options;
    options.transport = [](std::string_view) { return TransportOptions{}; };
    Scheduler scheduler(options, clock);
    scheduler.activate(1, {{0, "smtp", "big", "x@y"}});
    const auto flight = scheduler.next();
    REQUIRE(flight);
    scheduler.activate(2, {{0, "smtp", "big", "x@y"}});
    clock.advance(1s);
    SiteNotice notice = slower();
    notice.slower = false;
    notice.suspend = 600s;
    const auto change = scheduler.heard(flight->attempt, "big", notice);
    REQUIRE(change);
    CHECK(change->change == Shape::Change::suspended);
    CHECK(change->until == clock.steady() + 600s);
    CHECK(scheduler.finished(flight->attempt, SiteNews::none));
    auto waits = scheduler.take_suspended();
    REQUIRE(waits);
    CHECK(waits->message == 2);
    CHECK(waits->reason == "host mx.test said: 421 slow down");
    CHECK(waits->until == clock.steady() + 600s);
    scheduler.suspended_done(*waits);
    scheduler.activate(3, {{0, "smtp", "big", "x@y"}});
    CHECK(!scheduler.next());
    waits = scheduler.take_suspended();
    REQUIRE(waits);
    scheduler.suspended_done(*waits);
    scheduler.revive_all();
    clock.advance(61s);
    scheduler.activate(4, {{0, "smtp", "big", "x@y"}});
    const auto again = scheduler.next();
    REQUIRE(again);
    CHECK(again->ceiling == 2);
    scheduler.finished(again->attempt, SiteNews::answered);
    for (int i = 0; i < 200; ++i) {
        clock.advance(60s);
        scheduler.next();
    }
    scheduler.activate(5, {{0, "smtp", "big", "x@y"}});
    CHECK(scheduler.site("big")->set.empty());
}

TEST_CASE("shape: what is kept goes on in another process, where time has gone on meanwhile; a clock that was set back stops nothing for longer")
{
    HandClock clock;
    Shape shape;
    for (int i = 0; i < 40; ++i) {
        shape.started(clock.steady());
        clock.advance(1s);
    }
    REQUIRE(shape.heard(slower(), clock.steady(), clock.steady()));
    const peers::Restraint kept = shape.kept(clock.steady(), clock.wall());
    CHECK(kept.silent_until == WallTime{});
    const SteadyTime back = shape.recovered_at(clock.steady());
    Shape next;
    clock.advance(90s);
    next.restore(kept, clock.steady(), clock.wall());
    shape.recover(clock.steady());
    CHECK(next.ceiling() == shape.ceiling());
    CHECK(next.per_minute() == doctest::Approx(shape.per_minute()));
    CHECK(next.recovered_at(clock.steady()) == back);
    CHECK(!next.open(clock.steady()));                              // the first waits for its turn as any other
    while (clock.steady() < back)
        clock.advance(60s);
    Shape late;
    late.restore(kept, clock.steady(), clock.wall());
    CHECK(late.empty(clock.steady()));
    CHECK(late.open(clock.steady()));

    SiteNotice silence = slower();
    silence.suspend = 600s;
    shape = {};
    REQUIRE(shape.heard(silence, clock.steady(), clock.steady()));
    const peers::Restraint quiet = shape.kept(clock.steady(), clock.wall());
    clock.advance(100s);
    Shape silent;
    silent.restore(quiet, clock.steady(), clock.wall());
    CHECK(silent.suspended(clock.steady()));
    CHECK(silent.suspended_until() == clock.steady() + 500s);
    CHECK(silent.recovered_at(clock.steady()) == shape.recovered_at(clock.steady()));
    Shape earlier;                                                  // the wall clock was a year ahead when it was kept
    earlier.restore(quiet, clock.steady(), clock.wall() - std::chrono::days{365});
    CHECK(earlier.suspended_until() <= clock.steady() + std::chrono::days{7});
    silent.lift();
    CHECK(silent.empty(clock.steady()));
    CHECK(silent.open(clock.steady()));
}

TEST_CASE("scheduler: what a set asked for is told once per change, restored with the sites that it serves, and lifted by an operator")
{
    HandClock clock;
    SchedulerOptions options;
    options.transport = [](std::string_view) { return TransportOptions{}; };
    peers::Restraint kept;
    {
        Scheduler scheduler(options, clock);
        scheduler.activate(1, {{0, "smtp", "big", "x@y"}, {1, "smtp", "other", "x@z"}});
        const auto first = scheduler.next(), second = scheduler.next();
        REQUIRE(first);
        REQUIRE(second);
        SiteNotice plain;
        plain.set = "mx.test";
        scheduler.heard(second->attempt, second->site, plain);
        CHECK(!scheduler.changed());                                // nothing was asked for
        clock.advance(1s);
        SiteNotice notice = slower();
        notice.suspend = 600s;
        REQUIRE(scheduler.heard(first->attempt, first->site, notice));
        CHECK(scheduler.pressing());
        const auto told = scheduler.take_changed();
        REQUIRE(told.size() == 1);
        CHECK(told[0].first == "mx.test");
        REQUIRE(told[0].second);
        kept = *told[0].second;
        std::ranges::sort(kept.sites);
        CHECK(kept.sites == std::vector<std::string>{"big", "other"});
        CHECK(kept.said == "host mx.test said: 421 slow down");
        CHECK(!scheduler.pressing());
        CHECK(scheduler.take_changed().empty());
        SiteNotice third;                                           // a site more is worth keeping, and can wait
        third.set = "mx.test";
        scheduler.heard(0, "third", third);
        CHECK(scheduler.changed());
        CHECK(!scheduler.pressing());
    }
    Scheduler scheduler(options, clock);
    scheduler.restore("mx.test", kept);
    scheduler.activate(1, {{0, "smtp", "big", "x@y"}, {1, "smtp", "free", "x@z"}});
    const auto free = scheduler.next();
    REQUIRE(free);
    CHECK(free->site == "free");
    CHECK(!scheduler.next());
    auto waits = scheduler.take_suspended();
    REQUIRE(waits);
    CHECK(waits->until == clock.steady() + 600s);
    CHECK(waits->reason == kept.said);
    scheduler.suspended_done(*waits);
    CHECK(scheduler.silent("other") == kept.said);

    CHECK(scheduler.lift("mx.test"));
    CHECK(!scheduler.lift("mx.none"));
    const auto told = scheduler.take_changed();
    REQUIRE(told.size() == 1);
    CHECK(!told[0].second);                                         // none: it need not be kept
    scheduler.activate(2, {{0, "smtp", "big", "x@y"}, {1, "smtp", "big", "z@y"}});
    const auto request = scheduler.next();
    REQUIRE(request);
    CHECK(request->ceiling == 0);
}

TEST_CASE("scheduler: a rate that is restored holds from the first delivery on, and one that an operator lifts holds up nothing")
{
    HandClock clock;
    SchedulerOptions options;
    options.transport = [](std::string_view) { return TransportOptions{}; };
    peers::Restraint kept{
        .step = 60s, .raised = clock.wall(), .per_minute = 6, .before = 12, .quickened = clock.wall(), .until = clock.wall() + 600s};
    kept.sites = {"big"};
    Scheduler scheduler(options, clock);
    scheduler.restore("mx.test", kept);
    for (schedule::MessageKey message = 1; message <= 5; ++message)
        scheduler.activate(message, {{0, "smtp", "big", "x@y"}});
    CHECK(!scheduler.next());
    REQUIRE(scheduler.wake_at());
    CHECK(*scheduler.wake_at() == clock.steady() + 10s);
    clock.advance(10s);
    CHECK(scheduler.next());
    CHECK(!scheduler.next());
    CHECK(scheduler.lift("mx.test"));
    for (int rest = 0; rest < 4; ++rest)
        CHECK(scheduler.next());
}
