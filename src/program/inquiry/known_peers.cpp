#include "inquiry/known_peers.hpp"

#include "inquiry/memory_client.hpp"
#include "inquiry/peer_listing.hpp"
#include "peers/store.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::inquiry {

using posthorn::peers::Record;

Result<KnownPeers> known_peers(const config::Snapshot& snapshot, std::span<const std::string> words, WallTime now, Until until)
{
    if (const auto stored = MemoryClient(snapshot, until).store(); !stored && stored.error().status() != "4.3.0")
        return stored.error();
    TRY(auto found, posthorn::peers::StoredShelf(fmt::format("{}/{}", snapshot.text("data_directory"), posthorn::peers::store_name)).all());
    KnownPeers known{std::move(found.peers), {}};
    known.sets = sets_of(found, now);
    const auto about = [&](const auto& one) { return std::ranges::any_of(words, [&](const std::string& word) { return matches(one, word); }); };
    if (!words.empty()) {
        std::erase_if(known.records, [&](const Record& record) { return !about(record); });
        std::erase_if(known.sets, [&](const SetKnown& set) { return !about(set); });
    }
    std::ranges::sort(known.records, {}, [](const Record& record) { return std::pair(record.peer.address, record.peer.banner_host); });
    return known;
}

}  // namespace posthorn::inquiry
