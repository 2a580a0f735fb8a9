// base/timestamp.hpp: moments as text.                                                                           RFC 3339 5.6
// Shape    "2026-11-30T08:00:00Z", "2026-11-30T09:00:00.25+01:00"; T and Z in either case, a blank in place of T.
//          A leap second is the first of the next minute.
// Units    microseconds; what is beyond them is cut off. Years 1970 to 9999.
#pragma once

#include "base/clock.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace posthorn {

/// None: it is no moment, or outside of those years.
std::optional<WallTime> parse_timestamp(std::string_view text);
/// In UTC, to the second: "2026-11-30T08:00:00Z".
std::string timestamp(WallTime when);
/// For people: "2026-11-30 08:00 UTC".
std::string minute_text(WallTime when);

}  // namespace posthorn
