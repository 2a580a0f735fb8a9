// peers/early.hpp: may a client speak before the greeting (PIPECONNECT)? The account of one address, and its rules. Pure.
// The way there (path.hpp) is in that account too.
// Why by address   before the greeting nobody knows which machine answers: behind one address there may be several, told apart by banner.
// Yes      after `sightings` clean sessions within `memory` with each banner host seen at the address in that time, all with the same
//          features. Clean: PIPECONNECT and PIPELINING announced, nothing of the dialogue out of order, no quirk in the way.
// No       again at once: from a new or changed host until it was seen so often; from an address that refused an early client
//          (a pregreet test, most likely) for `switched_off`. What was sent early and refused costs one repetition, never mail.
#pragma once

#include "base/clock.hpp"
#include "peers/known.hpp"
#include "peers/path.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace posthorn::peers {

struct Observation;

struct EarlyHost {
    std::string banner_host;            // lower case
    std::uint32_t clear = 0, tls = 0;   // features announced, with PIPECONNECT; 0: not so, or not known
    std::array<WallTime, 3> clean{};    // the last sightings, the youngest first
    WallTime last{};
    bool operator==(const EarlyHost&) const = default;
};

struct EarlyRecord {
    static constexpr std::size_t hosts_at_most = 8;
    static constexpr std::chrono::hours memory{7 * 24}, switched_off{30 * 24};

    std::vector<EarlyHost> hosts;
    WallTime off_until{};
    WallTime crowded{};                 // more hosts than are kept
    WallTime last{};
    PathRecord path;
    bool operator==(const EarlyRecord&) const = default;
    /// Worth storing: somebody there offers it, or refused it; or large segments were lost on the way.
    bool speaks() const;
};

/// True: the address has just been switched off.
bool note_early(EarlyRecord& record, const Observation& seen, WallTime now);
Early early_of(const EarlyRecord& record, WallTime now);

/// For sessions: does this refusal of an early client smell of a test for such clients?
bool smells_of_pregreet_test(std::string_view reply);

}  // namespace posthorn::peers
