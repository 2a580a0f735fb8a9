#include "base/timestamp.hpp"
#include "cleanup/scheduling_field.hpp"
#include "cleanup/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::cleanup;
using namespace posthorn::cleanup::testing;

namespace {

constexpr std::string_view office = R"({"dow":"Mon,Wed","tz":"America/Phoenix","start":"09:00:00","end":"17:00:00"})";

std::string why_not(std::string_view body)
{
    const auto plan = parse_scheduling(body);
    return plan ? "taken" : plan.error().text();
}

/// Of a sender who may say so; it arrives on 21 November 2026.
Got scheduled(std::string_view fields, bool may = true, std::string name = "X-Schedule")
{
    Options made = options();
    made.scheduling_header = std::move(name);
    handoff::Envelope e = envelope();
    e.set_may_schedule(may);
    return clean(made, e, fmt::format("From: a@b.test\r\n{}To: c@d.test\r\nDate: x\r\nMessage-ID: <m@x>\r\n\r\n", fields));
}

}  // namespace

TEST_CASE("scheduling field: what KumoMTA documents is read")
{
    const auto plan = parse_scheduling(
        R"( {"first_attempt": "2026-12-01T17:00:00-08:00", "expires": "2026-12-03T00:00:00Z", "dow": "monday,Wed, FRI", "tz": "Europe/Berlin", "start": "09:00", "end": "17:30:15"} )");
    REQUIRE(plan);
    CHECK(timestamp(plan->not_before) == "2026-12-02T01:00:00Z");
    CHECK(timestamp(plan->expires.value()) == "2026-12-03T00:00:00Z");
    CHECK(plan->window == calendar::Window{1 | 4 | 16, "Europe/Berlin", std::chrono::hours{9}, std::chrono::seconds{17 * 3600 + 1815}});
    CHECK(parse_scheduling("{}").value() == calendar::Plan{});
    CHECK(parse_scheduling(R"({"first_attempt": null, "dow": null})").value() == calendar::Plan{});
    CHECK(parse_scheduling(office)->window->days == 5);
}

TEST_CASE("scheduling field: each fault has its words")
{
    CHECK(why_not("") == "it is no JSON object");
    CHECK(why_not("[]") == "it is no JSON object");
    CHECK(why_not("{\"first_attempt\": \"2026-12-01T17:00:00Z\"") == "it is no JSON object");
    CHECK(why_not("{\"first_attempt\": {\"x\": {\"y\": 1}}}") == "it is no JSON object");            // deeper than it may be
    CHECK(why_not(std::string(5000, ' ') + "{}") == "taken");
    CHECK(why_not("{" + std::string(5000, ' ') + "}") == "it is too long");
    CHECK(why_not(R"({"first_atempt": "2026-12-01T17:00:00Z"})") == "\"first_atempt\" is not known");
    CHECK(why_not(R"({"first_attempt": 1764576000})") == "first_attempt: it is no text");
    CHECK(why_not(R"({"first_attempt": "2026-12-01"})") == "first_attempt: \"2026-12-01\" is no date and time as RFC 3339 writes them");
    CHECK(why_not(R"({"expires": "soon"})") == "expires: \"soon\" is no date and time as RFC 3339 writes them");
    CHECK(why_not(R"({"dow": "Mon", "tz": "UTC", "start": "09:00:00"})") == "of dow, tz, start and end all or none are to be given");
    const auto window = [](std::string_view dow, std::string_view tz, std::string_view start, std::string_view end) {
        return why_not(fmt::format(R"({{"dow": "{}", "tz": "{}", "start": "{}", "end": "{}"}})", dow, tz, start, end));
    };
    CHECK(window("Mon,Sumday", "UTC", "09:00:00", "10:00:00") == "\"Sumday\" is no day of the week");
    CHECK(window("", "UTC", "09:00:00", "10:00:00") == "\"\" is no day of the week");
    CHECK(window("Mon", "PST", "09:00:00", "10:00:00") == "tz: \"PST\" is no time zone");
    CHECK(window("Mon", "UTC", "9:00", "10:00:00") == "start: \"9:00\" is no time of day");
    CHECK(window("Mon", "UTC", "09:00:00", "24:00:00") == "end: \"24:00:00\" is no time of day");
    CHECK(window("Mon", "UTC", "23:59:60", "10:00:00") == "start: \"23:59:60\" is no time of day");
    CHECK(window("Mon", "UTC", "09:00:00", "10:00:0Z") == "end: \"10:00:0Z\" is no time of day");
}

TEST_CASE("cleanup: scheduling_header: of who may say so it goes into the envelope and out of the header")
{
    const Got got =
        scheduled("X-SCHEDULE: {\"first_attempt\":\r\n \"2026-12-01T17:00:00Z\"}\r\nSubject: x\r\nx-schedule: nonsense, which comes too late\r\n");
    CHECK(got.refused == "");
    CHECK(got.head == "From: a@b.test\r\nSubject: x\r\nTo: c@d.test\r\nDate: x\r\nMessage-ID: <m@x>\r\n\r\n");
    CHECK(got.envelope.release().not_before() == parse_timestamp("2026-12-01T17:00:00Z")->time_since_epoch().count());
    CHECK_FALSE(got.envelope.may_schedule());
    const Got hours = scheduled(fmt::format("X-Schedule: {}\r\n", office));
    CHECK(hours.envelope.release().days() == 5);
    CHECK(hours.envelope.release().zone() == "America/Phoenix");
    CHECK(hours.envelope.release().start() == 9 * 3600);
    CHECK(hours.envelope.release().end() == 17 * 3600);
    CHECK_FALSE(scheduled("").envelope.has_release());
    // What is too long for a header is not cut and taken out at once.
    CHECK(scheduled("X-Schedule: " + std::string(200'000, 'x') + "\r\n").refused == "550 5.6.0 Error: X-Schedule: it is too long");
}

TEST_CASE("cleanup: scheduling_header: of strangers, and where it is not set, it is a field as any")
{
    const std::string field = "X-Schedule: {\"first_attempt\":\"2026-12-01T17:00:00Z\"}\r\n";
    for (const Got& got : {scheduled(field, false), scheduled(field, true, "")}) {
        CHECK(has(got.head, field));
        CHECK_FALSE(got.envelope.has_release());
        CHECK_FALSE(got.envelope.may_schedule());
    }
}

TEST_CASE("cleanup: scheduling_header: what is wrong with it, or could never go, is refused")
{
    CHECK(scheduled("X-Schedule: tomorrow\r\n").refused == "550 5.6.0 Error: X-Schedule: it is no JSON object");
    CHECK(scheduled("X-Schedule: {\"expires\": \"2026-11-20T00:00:00Z\"}\r\n")
              .refused.starts_with("550 5.6.0 Error: X-Schedule: it expires at 2026-11-20T00:00:00Z"));
    CHECK(scheduled("X-Schedule: {\"first_attempt\":\"2026-12-01T17:00:00Z\", \"expires\": \"2026-12-01T17:00:00Z\"}\r\n").refused ==
          "550 5.6.0 Error: X-Schedule: it expires at 2026-12-01T17:00:00Z, and may not go before 2026-12-01T17:00:00Z");
    const Got lives = scheduled("X-Schedule: {\"first_attempt\":\"2026-12-01T17:00:00Z\", \"expires\": \"2026-12-01T17:00:01Z\"}\r\n");
    CHECK(lives.refused == "");
    CHECK(lives.envelope.release().expires() == parse_timestamp("2026-12-01T17:00:01Z")->time_since_epoch().count());
}
