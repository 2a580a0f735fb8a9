#include "base/timestamp.hpp"
#include "schedule/release.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::schedule;
using std::chrono::hours;

namespace {

WallTime clock_time(std::string_view text) { return parse_timestamp(text).value(); }

handoff::Envelope sent(std::string_view arrival)
{
    handoff::Envelope envelope;
    envelope.set_arrival(clock_time(arrival).time_since_epoch().count());
    return envelope;
}

}  // namespace

TEST_CASE("release: mail that asks for nothing may always go, and is as old as it is")
{
    const handoff::Envelope plain = sent("2026-11-30T12:00:00Z");
    const WallTime now = clock_time("2026-11-30T13:00:00Z");
    CHECK(may_go(plain, now) == now);
    CHECK(next_look(plain, now) == now);
    CHECK(counted_from(plain) == clock_time("2026-11-30T12:00:00Z"));
    CHECK_FALSE(expires(plain));
}

TEST_CASE("release: no attempt before its time, and its age counts from there")
{
    handoff::Envelope envelope = sent("2026-11-30T12:00:00Z");
    const WallTime morning = clock_time("2026-12-01T08:00:00Z");
    envelope.mutable_release()->set_not_before(morning.time_since_epoch().count());
    CHECK(may_go(envelope, clock_time("2026-11-30T13:00:00Z")) == morning);
    CHECK(may_go(envelope, morning + hours{1}) == morning + hours{1});
    CHECK(counted_from(envelope) == morning);
    CHECK(held_text(morning) == "held until 2026-12-01 08:00 UTC, as its sender asked");
    CHECK(held_text(morning + std::chrono::seconds{1}) == "held until 2026-12-01 08:01 UTC, as its sender asked");
}

TEST_CASE("release: a window holds every attempt; who expires before it opens is looked at then")
{
    handoff::Envelope envelope = sent("2026-11-30T18:00:00Z");
    handoff::Release& release = *envelope.mutable_release();
    release.set_days(1);                                                        // Monday
    release.set_zone("Europe/Berlin");
    release.set_start(9 * 3600);
    release.set_end(17 * 3600);
    CHECK(counted_from(envelope) == clock_time("2026-12-07T08:00:00Z"));
    CHECK(may_go(envelope, clock_time("2026-12-07T10:00:00Z")) == clock_time("2026-12-07T10:00:00Z"));
    CHECK(next_look(envelope, clock_time("2026-12-07T17:00:00Z")) == clock_time("2026-12-14T08:00:00Z"));
    release.set_expires(clock_time("2026-12-08T00:00:00Z").time_since_epoch().count());
    CHECK(next_look(envelope, clock_time("2026-12-07T17:00:00Z")) == clock_time("2026-12-08T00:00:00Z"));
    CHECK(next_look(envelope, clock_time("2026-12-07T10:00:00Z")) == clock_time("2026-12-07T10:00:00Z"));
}
