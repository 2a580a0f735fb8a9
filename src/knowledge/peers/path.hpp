// peers/path.hpp: do large segments arrive at an address? The account of the way there, and its rules. Pure.        RFC 2923 2.1 (black holes)
// Why by address   the way is no matter of who answers, and the size has to be known before the connection is made.
// Suspects   content whose segments were repeated and never arrived, where commands, in small ones, had been answered: for `suspected_for`
//            sessions with this address send small segments.
// Convicts   content that arrived by small ones meanwhile. For `sure_for`; then large ones are tried again.
// Clears     a suspicion: small ones are lost as well (it is no matter of size), or large ones arrive.
#pragma once

#include "base/clock.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace posthorn::peers {

/// What one session showed.
struct PathSeen {
    bool small = false;                 // its segments were small ones
    std::uint32_t lost = 0;             // octets of those that were repeated and never arrived; 0: none were
    bool arrived = false;               // content that filled more than one
    bool operator==(const PathSeen&) const = default;
};

struct PathRecord {
    static constexpr std::chrono::hours suspected_for{24}, sure_for{7 * 24};

    WallTime suspected{}, until{};      // when they were last lost; of the conviction
    std::uint32_t lost = 0;             // octets of those segments
    std::string told_by;                // the sibling that convicted it (told.hpp); empty: a session from here
    bool operator==(const PathRecord&) const = default;
};

enum class PathNews : std::uint8_t { none, suspected, learned };
PathNews note_path(PathRecord& record, const PathSeen& seen, WallTime now);
/// Is a connection with this address to send small segments?
bool small_segments(const PathRecord& record, WallTime now);

}  // namespace posthorn::peers
