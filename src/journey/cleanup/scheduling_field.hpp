// cleanup/scheduling_field.hpp: when its sender wants a message to go (scheduling_header).      RFC 8259; KumoMTA: message:set_scheduling
// Shape    one JSON object: "first_attempt" and "expires", moments of RFC 3339; "dow" ("Mon,Tue" or whole names), "tz" (an IANA name),
//          "start" and "end" ("09:00:00"): all four of them or none. Null is as if it were not there.
// Errors   in words for who sent it. A name that is not known is one: who misspells "first_attempt" would have his mail go at once.
// Trust    none. Pure.
#pragma once

#include "base/error.hpp"
#include "calendar/plan.hpp"

#include <string_view>

namespace posthorn::cleanup {

inline constexpr std::size_t scheduling_octets = 4096;  // of the body

/// `body`: of the field, unfolded.
Result<calendar::Plan> parse_scheduling(std::string_view body);

}  // namespace posthorn::cleanup
