#include "base/timestamp.hpp"

#include <doctest/doctest.h>

using namespace posthorn;

TEST_CASE("timestamp: what RFC 3339 writes is read, whatever its zone and its fraction")
{
    const WallTime eight{std::chrono::seconds{1796025600}};
    CHECK(parse_timestamp("2026-11-30T08:00:00Z") == eight);
    CHECK(parse_timestamp("2026-11-30t08:00:00z") == eight);
    CHECK(parse_timestamp("2026-11-30 09:00:00+01:00") == eight);
    CHECK(parse_timestamp("2026-11-29T22:30:00-09:30") == eight);
    CHECK(parse_timestamp("2026-11-30T08:00:00.25Z") == eight + std::chrono::milliseconds{250});
    CHECK(parse_timestamp("2026-11-30T08:00:00.1234569Z") == eight + std::chrono::microseconds{123456});
    CHECK(parse_timestamp("2026-11-30T07:59:60Z") == eight);
    CHECK(parse_timestamp("9999-12-31T23:59:59Z"));
    CHECK(timestamp(eight + std::chrono::milliseconds{250}) == "2026-11-30T08:00:00Z");
    CHECK(minute_text(eight + std::chrono::seconds{59}) == "2026-11-30 08:00 UTC");
}

TEST_CASE("timestamp: what is none is refused")
{
    for (const char* text : {"",
                             "2026",
                             "2026-11-30",
                             "2026-11-30T08:00:00",
                             "2026-11-30T08:00Z",
                             "2026-11-31T08:00:00Z",
                             "2026-13-01T08:00:00Z",
                             "2026-11-30T24:00:00Z",
                             "2026-11-30T08:60:00Z",
                             "2026-11-30T08:00:61Z",
                             "2026-11-30T08:00:00.Z",
                             "2026-11-30T08:00:00+1:00",
                             "2026-11-30T08:00:00+24:00",
                             "2026-11-30T08:00:00+01:60",
                             "2026-11-30T08:00:00+0100",
                             "2026-11-30T08:00:00Z ",
                             "2026-11-30T08:00:00 Z",
                             "+026-11-30T08:00:00Z",
                             "1969-12-31T23:59:59Z",
                             "1970-01-01T00:00:00+01:00",
                             "2026-11-30T08:00:00:00-08:00",
                             "2026-02-29T00:00:00Z"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_timestamp(text));
    }
}
