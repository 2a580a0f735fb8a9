// peers/manners.hpp: what one MX set, or one host, is known to ask of whoever sends to it, kept beyond the end of a process.
// Sessions  an MX set refused a session while so many others stood. Believed for a day after the last refusal, or until more were let in; the
//           queue manager raises what it was told by its own rules (schedule/shape.hpp), this is where it begins after a restart.
// Greylist  a host (address) is known to greylist, and how long it makes an envelope wait (peers/greylist.hpp).
#pragma once

#include "base/clock.hpp"

#include <chrono>
#include <cstdint>

namespace posthorn::peers {

struct Manners {
    std::uint32_t sessions = 0;                 // at once; 0: not known
    WallTime sessions_until{};
    WallTime greylists_until{};
    std::chrono::seconds passed{0}, refused{0}; // the shortest wait that passed, the longest that did not; 0: none
    WallTime last{};
    bool operator==(const Manners&) const = default;
};

inline constexpr std::chrono::hours sessions_lifetime{24};

}  // namespace posthorn::peers
