// services/peer_tables.hpp: what a delivery process looks up about a peer: what is asked of TLS, for all mail and for mail that requires it, EHLO
// keywords to overlook, workarounds for a PIX, its replies and what becomes of them, whether its sessions are logged, and the passwords for it.
// smtp_discard_ehlo_keyword_address_maps (lmtp_discard_lhlo_...) is asked by the peer's address alone; debug_peer_list by name and address.
#pragma once

#include "send/surroundings.hpp"
#include "services/outbound_editor.hpp"
#include "services/table_files.hpp"
#include "tables/maps.hpp"
#include "tables/match_list.hpp"
#include "tables/own.hpp"

namespace posthorn::services {

/// One parameter's tables.
class TableLookup final : public send::Lookup {
public:
    TableLookup() = default;
    TableLookup(std::string parameter, std::string_view list, tables::Flags flags, tables::Tables& tables);
    /// Null: no tables, and none to be asked.
    send::Lookup* get() { return maps_.empty() ? nullptr : this; }
    awaitable<Result<std::optional<std::string>>> find(std::string key) override { return maps_.lookup(std::move(key)); }
    const std::vector<std::shared_ptr<tables::Table>>& tables() const { return maps_.tables(); }

private:
    tables::Maps maps_;
};

/// smtp_requiretls_policy: words, and tables with them; the first that answers counts. Tables of names are asked for parents too, as .example.com.
class RequireTlsPolicy final : public send::Lookup {
public:
    RequireTlsPolicy() = default;
    RequireTlsPolicy(const std::string& parameter, std::string_view list, tables::Tables& tables);
    awaitable<Result<std::optional<std::string>>> find(std::string key) override;

private:
    struct Item {
        std::string word;  // empty: of the table
        tables::Maps table;
        bool parents = false;
    };
    std::vector<Item> items_;
};

class PeerTables final : send::DiscardMaps, send::DebugPeers, send::Passwords {
public:
    /// Before the process is confined: the files come from the broker.
    PeerTables(process::Service& service, const Clock& clock);

    /// Null: no tables, and none to be asked.
    send::DiscardMaps* discard() { return discard_.empty() ? nullptr : this; }
    send::Lookup* dns_filter() { return dns_filter_.get(); }
    send::Lookup* tls_policy() { return tls_policy_.get(); }
    send::Lookup* tls_trial() { return tls_trial_.get(); }
    /// Files that policies name (tafile=), as far as the tables can be read as a whole.
    std::vector<std::string> trust_anchor_files() const;
    send::Lookup* requiretls_policy() { return &requiretls_policy_; }
    send::Lookup* pix() { return pix_.get(); }
    send::Lookup* reply_filter() { return reply_filter_.get(); }
    send::Lookup* status_filter() { return status_filter_.get(); }
    send::Lookup* bounce_classes() { return bounce_classes_.get(); }
    send::Editor* editor() { return editor_ ? editor_->get() : nullptr; }
    send::Passwords* passwords() { return passwords_.empty() ? nullptr : this; }
    send::DebugPeers* debug() { return everybody_ || !debugged_.empty() ? this : nullptr; }

private:
    awaitable<Result<std::optional<std::string>>> keywords_for(std::string address) override { return discard_.lookup(std::move(address)); }
    awaitable<Result<std::optional<std::string>>> by_sender(std::string sender) override;
    awaitable<Result<std::optional<std::string>>> by_server(std::string host, std::string next_hop) override;
    awaitable<Result<bool>> allows(std::string mechanism) override;
    awaitable<bool> listed(std::string name, std::string address) override;

    observe::Log log_;
    std::shared_ptr<TableFiles> files_;
    tables::Tables tables_;
    tables::Maps discard_;
    TableLookup dns_filter_, tls_policy_, tls_trial_, pix_, reply_filter_, status_filter_, bounce_classes_;
    RequireTlsPolicy requiretls_policy_;
    std::unique_ptr<OutboundEditor> editor_;
    tables::OwnOptions own_options_;
    tables::OwnDomains own_;
    tables::Maps passwords_;
    tables::MatchList mechanisms_;
    tables::MatchList debugged_;
    bool everybody_ = false;  // -v in master.cf
};

}  // namespace posthorn::services
