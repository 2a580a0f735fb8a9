// inquiry/known_peers.hpp: what is known of servers and MX sets, gathered: memory stores first what it has learned, then its file is read. Blocks.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"
#include "config/snapshot.hpp"
#include "inquiry/ask.hpp"
#include "inquiry/set_listing.hpp"
#include "inquiry/way_listing.hpp"
#include "peers/portrait.hpp"
#include "peers/record.hpp"

#include <span>
#include <string>
#include <vector>

namespace posthorn::inquiry {

struct KnownPeers {
    std::vector<posthorn::peers::Record> records;      // by address
    std::vector<SetKnown> sets;                        // by name
    std::vector<WayKnown> ways;                        // by address, of these servers too
    std::vector<posthorn::peers::Portrait> portraits;  // of these servers, and of sites
};
/// Of these words alone, where there are any (peer_listing.hpp, set_listing.hpp). While the mail system is down, the file says all there is.
/// So it does where memory has not answered by `until` (ask.hpp).
Result<KnownPeers> known_peers(const config::Snapshot& snapshot, std::span<const std::string> words, WallTime now, Until until = {});

}  // namespace posthorn::inquiry
