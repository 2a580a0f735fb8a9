// peers/manners.hpp: what one MX set, or one host, is known to ask of whoever sends to it, kept beyond the end of a process.
// Sessions  an MX set refused a session while so many others stood. Believed for a day after the last refusal, or until more were let in; the
//           queue manager raises what it was told by its own rules (schedule/shape.hpp), this is where it begins after a restart.
// Greylist  a host (address) is known to greylist, and how long it makes an envelope wait (peers/greylist.hpp).
// Restraint what an MX set has asked the queue manager for, as of its last word (schedule/shape.hpp): a ceiling and a rate, which come back with
//           time, and silence. Time goes on while no process runs.
#pragma once

#include "base/clock.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

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

struct Restraint {
    std::uint32_t ceiling = 0, peak = 0;        // deliveries at once; 0: no limit. Past the peak there is none
    std::uint32_t refused_at = 0;               // a session was refused while so many others stood; 0: none was
    std::chrono::seconds step{0};               // between two raises of the ceiling
    WallTime raised{};
    double per_minute = 0, before = 0;          // mails; 0: no limit
    WallTime quickened{};
    WallTime silent_until{};
    WallTime until{};                           // all of it is given back by then
    WallTime last{};
    std::string said;                           // "host mx.example.com[192.0.2.1] said: 421 4.7.0 ..."
    std::vector<std::string> sites;             // that the set serves, as far as they are known: at most restrained_sites
    bool operator==(const Restraint&) const = default;
};

inline constexpr std::size_t restrained_sites = 1'000;

}  // namespace posthorn::peers
