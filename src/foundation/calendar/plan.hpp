// calendar/plan.hpp: when something may be done, as somebody asked.
#pragma once

#include "calendar/window.hpp"

#include <algorithm>
#include <optional>

namespace posthorn::calendar {

struct Plan {
    WallTime not_before{};                    // epoch: no such time
    std::optional<Window> window;             // of every attempt
    std::optional<WallTime> expires;          // no attempt from then on

    /// `from`, or the first moment behind it that is allowed; whether it is over before that is not asked here.
    WallTime first(WallTime from) const
    {
        const WallTime at = std::max(from, not_before);
        return window ? next_open(*window, at) : at;
    }
    bool operator==(const Plan&) const = default;
};

}  // namespace posthorn::calendar
