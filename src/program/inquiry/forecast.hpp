// inquiry/forecast.hpp: when what waits for a site will have been tried, at the pace of the last minutes. Pure.
// Counts  what waits for its turn now, not what is deferred: that comes again. What holds a site up (dead, silent) is said elsewhere, and then
//         nothing is foretold.
#pragma once

#include "handoff/sites.pb.h"

#include <chrono>
#include <optional>
#include <string>

namespace posthorn::inquiry {

/// None: nothing waits, nothing leaves, or the site is left alone.
std::optional<std::chrono::seconds> empties_in(const handoff::SiteStanding& site);
/// "about 14 min", "about 3 h", "about 2 days"; below two minutes "less than 2 min".
std::string rough(std::chrono::seconds span);
/// "12.3 recipients a minute leave, 4.0 come; empties in about 14 min if no more come"; empty: nothing waits, or the site is left alone.
std::string forecast_text(const handoff::SiteStanding& site);
/// `"came_per_minute": 4.0, "left_per_minute": 12.3, "empties_in": 840`: seconds, or null.
std::string forecast_json(const handoff::SiteStanding& site);

}  // namespace posthorn::inquiry
