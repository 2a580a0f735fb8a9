#include "inquiry/forecast.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace posthorn::inquiry {

namespace {

using namespace std::chrono_literals;

/// Beyond a year nobody plans.
constexpr double most_seconds = 366.0 * 86'400;

bool waits(const handoff::SiteStanding& site) { return site.waiting_recipients() != 0 && site.dead_until() == 0 && site.silent_until() == 0; }

}  // namespace

std::optional<std::chrono::seconds> empties_in(const handoff::SiteStanding& site)
{
    if (!waits(site) || !(site.left_per_minute() > 0))
        return std::nullopt;
    const double span = static_cast<double>(site.waiting_recipients()) * 60 / site.left_per_minute();
    return std::chrono::seconds{static_cast<std::int64_t>(std::ceil(std::min(span, most_seconds)))};
}

std::string rough(std::chrono::seconds span)
{
    if (span < 2min)
        return "less than 2 min";
    if (span < 2h)
        return fmt::format("about {} min", std::chrono::round<std::chrono::minutes>(span).count());
    if (span < 48h)
        return fmt::format("about {} h", std::chrono::round<std::chrono::hours>(span).count());
    return fmt::format("about {} days", std::chrono::round<std::chrono::days>(span).count());
}

std::string forecast_text(const handoff::SiteStanding& site)
{
    if (!waits(site))
        return {};
    const auto empty = empties_in(site);
    if (!empty)
        return fmt::format("nothing has left in the last minutes; {:.1f} recipients a minute come", site.came_per_minute());
    return fmt::format("{:.1f} recipients a minute leave, {:.1f} come; empties in {} if no more come", site.left_per_minute(), site.came_per_minute(),
                       rough(*empty));
}

std::string forecast_json(const handoff::SiteStanding& site)
{
    const auto empty = empties_in(site);
    return fmt::format(R"("came_per_minute": {:.1f}, "left_per_minute": {:.1f}, "empties_in": {})", site.came_per_minute(), site.left_per_minute(),
                       empty ? std::to_string(empty->count()) : "null");
}

}  // namespace posthorn::inquiry
