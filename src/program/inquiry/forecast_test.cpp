#include "inquiry/forecast.hpp"

#include "inquiry/why_text.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::inquiry;
using namespace std::chrono_literals;

namespace {

handoff::SiteStanding standing(std::uint64_t waiting, double left, double came = 0)
{
    handoff::SiteStanding site;
    site.set_site("smtp:big.test");
    site.set_window(5);
    site.set_in_flight(5);
    site.set_waiting_messages(waiting);
    site.set_waiting_recipients(waiting);
    site.set_left_per_minute(left);
    site.set_came_per_minute(came);
    return site;
}

}  // namespace

TEST_CASE("forecast: what waits, at the pace of the last minutes; a site that is left alone has none")
{
    CHECK(empties_in(standing(168, 12)) == 840s);
    CHECK(empties_in(standing(1, 600)) == 1s);
    CHECK(!empties_in(standing(0, 12)));
    CHECK(!empties_in(standing(10, 0)));
    CHECK(empties_in(standing(UINT64_MAX, 1e-9)) == 366 * 24h);
    handoff::SiteStanding dead = standing(10, 5);
    dead.set_dead_until(1);
    CHECK(!empties_in(dead));
    CHECK(forecast_text(dead).empty());
    handoff::SiteStanding silent = standing(10, 5);
    silent.set_silent_until(1);
    CHECK(!empties_in(silent));
    CHECK(forecast_text(standing(168, 12, 3.25)) == "12.0 recipients a minute leave, 3.2 come; empties in about 14 min if no more come");
    CHECK(forecast_text(standing(7, 0, 1)) == "nothing has left in the last minutes; 1.0 recipients a minute come");
    CHECK(forecast_text(standing(0, 9, 9)).empty());
    CHECK(forecast_json(standing(168, 12, 3)) == R"("came_per_minute": 3.0, "left_per_minute": 12.0, "empties_in": 840)");
    CHECK(forecast_json(dead) == R"("came_per_minute": 0.0, "left_per_minute": 5.0, "empties_in": null)");
}

TEST_CASE("forecast: in rough words")
{
    CHECK(rough(0s) == "less than 2 min");
    CHECK(rough(119s) == "less than 2 min");
    CHECK(rough(2min) == "about 2 min");
    CHECK(rough(119min + 29s) == "about 119 min");
    CHECK(rough(2h) == "about 2 h");
    CHECK(rough(47h + 20min) == "about 47 h");
    CHECK(rough(48h) == "about 2 days");
    CHECK(rough(366 * 24h) == "about 366 days");
}

TEST_CASE("forecast: why says it of a site, in text and as JSON")
{
    Why why;
    why.word = "big.test";
    why.kind = Why::Kind::destination;
    why.queue.emplace();
    *why.queue->add_sites() = standing(168, 12, 3);
    const WallTime now{std::chrono::hours{500'000}};
    CHECK(why_text(why, now).find("168 messages with 168 recipients wait for their turn\n"
                                  "    pace         12.0 recipients a minute leave, 3.0 come; empties in about 14 min if no more come\n") !=
          std::string::npos);
    CHECK(why_json(why, now).find(R"("came_per_minute": 3.0, "left_per_minute": 12.0, "empties_in": 840})") != std::string::npos);
}
