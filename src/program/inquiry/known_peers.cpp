#include "inquiry/known_peers.hpp"

#include "inquiry/change_listing.hpp"
#include "inquiry/memory_client.hpp"
#include "inquiry/peer_listing.hpp"
#include "peers/store.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::inquiry {

using posthorn::peers::Portrait;
using posthorn::peers::Record;

Result<KnownPeers> known_peers(const config::Snapshot& snapshot, std::span<const std::string> words, WallTime now, Until until)
{
    if (const auto stored = MemoryClient(snapshot, until).store(); !stored && stored.error().status() != "4.3.0")
        return stored.error();
    TRY(auto found, posthorn::peers::StoredShelf(fmt::format("{}/{}", snapshot.text("data_directory"), posthorn::peers::store_name)).all());
    KnownPeers known;
    known.sets = sets_of(found, now);
    known.ways = ways_of(found, now);
    known.records = std::move(found.peers);
    known.portraits = std::move(found.portraits);
    const auto about = [&](const auto& one) { return std::ranges::any_of(words, [&](const std::string& word) { return matches(one, word); }); };
    if (!words.empty()) {
        std::erase_if(known.records, [&](const Record& record) { return !about(record); });
        std::erase_if(known.sets, [&](const SetKnown& set) { return !about(set); });
        const auto is_there = [&](const std::string& address) {
            return std::ranges::any_of(known.records, [&](const Record& record) { return record.peer.address == address; });
        };
        std::erase_if(known.ways, [&](const WayKnown& way) { return !about(way) && !is_there(way.address); });
        std::erase_if(known.portraits, [&](const Portrait& portrait) { return !about(portrait) && !is_there(portrait.peer.address); });
    }
    std::ranges::sort(known.records, {}, [](const Record& record) { return std::pair(record.peer.address, record.peer.banner_host); });
    return known;
}

}  // namespace posthorn::inquiry
