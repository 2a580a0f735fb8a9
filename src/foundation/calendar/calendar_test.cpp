#include "base/timestamp.hpp"
#include "calendar/plan.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::calendar;
using std::chrono::hours;
using std::chrono::minutes;

namespace {

constexpr unsigned monday = 1, tuesday = 2, wednesday = 4, friday = 16, saturday = 32, sunday = 64;

std::string next(const Window& window, std::string_view from) { return timestamp(next_open(window, parse_timestamp(from).value())); }

Window berlin(unsigned days, std::chrono::seconds start, std::chrono::seconds end) { return {days, "Europe/Berlin", start, end}; }

}  // namespace

TEST_CASE("window: from its start to before its end on its days, in the time of its zone")
{
    const Window office{monday | wednesday, "America/Phoenix", hours{9}, hours{17}};    // seven hours behind all year
    CHECK(next(office, "2026-11-30T15:59:59Z") == "2026-11-30T16:00:00Z");
    CHECK(next(office, "2026-11-30T16:00:00Z") == "2026-11-30T16:00:00Z");
    CHECK(next(office, "2026-11-30T23:59:59Z") == "2026-11-30T23:59:59Z");
    CHECK(next(office, "2026-12-01T00:00:00Z") == "2026-12-02T16:00:00Z");
    CHECK(next(office, "2026-12-03T12:00:00Z") == "2026-12-07T16:00:00Z");
    CHECK(is_open(office, parse_timestamp("2026-11-30T23:59:59.999Z").value()));
    CHECK_FALSE(is_open(office, parse_timestamp("2026-12-01T00:00:00Z").value()));
}

TEST_CASE("window: one that ends before it starts ends on the day after")
{
    const Window night = berlin(friday, hours{22}, hours{6});
    CHECK(next(night, "2026-11-27T20:59:00Z") == "2026-11-27T21:00:00Z");
    CHECK(next(night, "2026-11-28T04:59:59Z") == "2026-11-28T04:59:59Z");              // Saturday morning there
    CHECK(next(night, "2026-11-28T05:00:00Z") == "2026-12-04T21:00:00Z");
    CHECK(next(night, "2026-11-28T21:00:00Z") == "2026-12-04T21:00:00Z");              // Saturday evening is none of it
    const Window whole = berlin(saturday, hours{0}, hours{0});
    CHECK(next(whole, "2026-11-27T12:00:00Z") == "2026-11-27T23:00:00Z");
    CHECK(next(whole, "2026-11-28T22:59:59Z") == "2026-11-28T22:59:59Z");
    CHECK(next(whole, "2026-11-28T23:00:00Z") == "2026-12-04T23:00:00Z");
}

TEST_CASE("window: summer time begins and ends, and the clock on the wall decides")
{
    const Window morning = berlin(all_days, hours{8}, hours{9});
    CHECK(next(morning, "2026-03-28T12:00:00Z") == "2026-03-29T06:00:00Z");            // the day it begins
    CHECK(next(morning, "2026-03-27T12:00:00Z") == "2026-03-28T07:00:00Z");
    CHECK(next(morning, "2026-10-24T12:00:00Z") == "2026-10-25T07:00:00Z");            // the day it ends
    CHECK(next(morning, "2026-10-23T12:00:00Z") == "2026-10-24T06:00:00Z");
}

TEST_CASE("window: a start that the clock jumps over opens with the jump; a window that it jumps over whole does not open that day")
{
    CHECK(next(berlin(sunday, hours{2} + minutes{30}, hours{4}), "2026-03-28T12:00:00Z") == "2026-03-29T01:00:00Z");       // 03:00 there
    CHECK(next(berlin(all_days, hours{2} + minutes{10}, hours{2} + minutes{50}), "2026-03-28T12:00:00Z") == "2026-03-30T00:10:00Z");
    CHECK(next(berlin(sunday, hours{2} + minutes{10}, hours{2} + minutes{50}), "2026-03-28T12:00:00Z") == "2026-04-05T00:10:00Z");
}

TEST_CASE("window: hours that come twice count twice")
{
    const Window twice = berlin(sunday, hours{2} + minutes{30}, hours{2} + minutes{45});
    CHECK(next(twice, "2026-10-24T12:00:00Z") == "2026-10-25T00:30:00Z");
    CHECK(next(twice, "2026-10-25T00:45:00Z") == "2026-10-25T01:30:00Z");
    CHECK(next(twice, "2026-10-25T01:45:00Z") == "2026-11-01T01:30:00Z");
    // 02:59:59 is followed by 02:00:00, which is in it again.
    CHECK(next(berlin(sunday, hours{1} + minutes{30}, hours{2} + minutes{30}), "2026-10-25T00:40:00Z") == "2026-10-25T01:00:00Z");
}

TEST_CASE("window: a day that a country leaves out is no day of its window")
{
    const Window apia{friday, "Pacific/Apia", hours{9}, hours{10}};                    // there was no 30 December 2011
    CHECK(next(apia, "2011-12-29T12:00:00Z") == "2012-01-05T19:00:00Z");
}

TEST_CASE("window: zones have IANA's names, and no abbreviations")
{
    for (const char* name :
         {"America/Phoenix", "Europe/Berlin", "UTC", "GMT", "Etc/GMT+5", "Asia/Calcutta", "America/Argentina/Buenos_Aires", "Japan"}) {
        CAPTURE(name);
        CHECK(is_time_zone(name));
    }
    for (const char* name : {"", "PST", "EST", "Mars/Olympus", "GMT+3", "GMT+03:30", "Etc/Unknown", "Europe/Berlin ", "Europe/B\xe4rlin"}) {
        CAPTURE(name);
        CHECK_FALSE(is_time_zone(name));
    }
    CHECK(next({tuesday, "Mars/Olympus", hours{9}, hours{10}}, "2026-11-30T12:00:00Z") == "2026-12-01T09:00:00Z");
}

TEST_CASE("plan: not before its time, and then within its window")
{
    const WallTime now = parse_timestamp("2026-11-30T12:00:00Z").value(), later = parse_timestamp("2026-12-01T18:00:00Z").value();
    CHECK(Plan{}.first(now) == now);
    CHECK(Plan{later, {}, {}}.first(now) == later);
    CHECK(Plan{later, {}, {}}.first(later + hours{1}) == later + hours{1});
    CHECK(timestamp(Plan{later, Window{all_days, "UTC", hours{9}, hours{17}}, {}}.first(now)) == "2026-12-02T09:00:00Z");
}
