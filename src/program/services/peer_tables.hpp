// services/peer_tables.hpp: what a delivery process looks up about a peer: EHLO keywords to overlook, and whether its sessions are logged.
// smtp_discard_ehlo_keyword_address_maps (lmtp_discard_lhlo_...) is asked by the peer's address alone; debug_peer_list by name and address.
#pragma once

#include "send/surroundings.hpp"
#include "services/table_files.hpp"
#include "tables/maps.hpp"
#include "tables/match_list.hpp"

namespace posthorn::services {

class PeerTables final : send::DiscardMaps, send::DebugPeers {
public:
    /// Before the process is confined: the files come from the broker.
    PeerTables(process::Service& service, const Clock& clock);

    /// Null: no tables, and none to be asked.
    send::DiscardMaps* discard() { return discard_.empty() ? nullptr : this; }
    send::DebugPeers* debug() { return everybody_ || !debugged_.empty() ? this : nullptr; }

private:
    awaitable<Result<std::optional<std::string>>> keywords_for(std::string address) override { return discard_.lookup(std::move(address)); }
    awaitable<bool> listed(std::string name, std::string address) override;

    observe::Log log_;
    tables::Tables tables_;
    tables::Maps discard_;
    tables::MatchList debugged_;
    bool everybody_ = false;                 // -v in master.cf
};

}  // namespace posthorn::services
