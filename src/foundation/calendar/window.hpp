// calendar/window.hpp: hours of days of the week, in a time zone.
// Shape    open from `start` to before `end`, on each of `days`; an end that is not after its start is of the day that follows.
// Clocks   that are set forward over the start open it as they jump; of hours that come twice both count. The clock on the wall there
//          decides, and nothing else.
// Zones    IANA's names. An abbreviation (PST) is none: it means several things.
#pragma once

#include "base/clock.hpp"

#include <string>
#include <string_view>

namespace posthorn::calendar {

struct Window {
    unsigned days = 0;                        // bit 0: Monday
    std::string zone;
    std::chrono::seconds start{}, end{};      // since midnight, less than a day
    bool operator==(const Window&) const = default;
};

inline constexpr unsigned all_days = 0x7f;

bool is_time_zone(std::string_view name);

/// Of a zone that is not known (any more) UTC is taken.
bool is_open(const Window& window, WallTime when);

/// `from`, where it is open then; else when it opens next.
WallTime next_open(const Window& window, WallTime from);

}  // namespace posthorn::calendar
