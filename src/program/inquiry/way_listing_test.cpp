#include "inquiry/way_listing.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <time.h>

using namespace posthorn;
using namespace posthorn::inquiry;
using namespace std::chrono_literals;

TEST_CASE("peers: ways that drop large segments are listed while small ones are sent, with what is proved and until when")
{
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    const WallTime now{std::chrono::seconds{1767225600}};      // 2026-01-01
    posthorn::peers::StoredShelf::All all;
    all.ways.emplace_back("192.0.2.9", posthorn::peers::PathRecord{.suspected = now - 1h, .until = {}, .lost = 1448});
    all.ways.emplace_back("192.0.2.8", posthorn::peers::PathRecord{.suspected = now - 25h, .until = now - 1h, .lost = 1448});
    all.ways.emplace_back("192.0.2.7", posthorn::peers::PathRecord{.suspected = {}, .until = now + 48h, .lost = 1400});
    const auto ways = ways_of(all, now);
    REQUIRE(ways.size() == 2);
    CHECK(way_line(ways[0], now) == "192.0.2.7  the way there: segments of 1400 octets are lost, small ones are sent until 2026-01-03 00:00:00\n");
    CHECK(way_line(ways[1], now) == "192.0.2.9  the way there: segments of 1448 octets are lost, small ones are tried until 2026-01-01 23:00:00\n");
    CHECK(way_text(ways[0], now) == "the way to 192.0.2.7\n"
                                    "  segments       segments of 1400 octets are lost: who drops them tells nobody (path MTU)\n"
                                    "                 small ones arrive\n"
                                    "  small ones     until 2026-01-03 00:00:00; then large ones are tried again\n"
                                    "  by hand        a route to 192.0.2.7 with \"mtu lock 1280\"\n");
    CHECK(way_text(ways[1], now).find("suspected: no content has arrived in small ones yet\n") != std::string::npos);
    CHECK(way_json(ways[1], now) == R"({"way": "192.0.2.9", "segments_lost": 1448, "proved": false, "small_until": "2026-01-01T23:00:00Z"})");
    CHECK(matches(ways[0], "192.0.2.7"));
    CHECK_FALSE(matches(ways[0], "192.0.2.9"));
}
