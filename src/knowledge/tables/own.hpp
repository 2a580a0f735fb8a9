// tables/own.hpp: which domains and addresses are this machine's: mydestination, and [address] of inet_interfaces and
// proxy_interfaces.                                                          RFC 5321 4.1.3
#pragma once

#include "config/snapshot.hpp"
#include "tables/keys.hpp"
#include "tables/match_list.hpp"

namespace posthorn::tables {

struct OwnOptions {
    std::string mydestination;
    std::string myorigin = "localhost";
    std::vector<std::string> addresses;           // "192.0.2.1", "2001:db8::1": interfaces and proxies
    bool parent_style = false;
    Delimiter delimiter;
    Flags flags;

    /// `interfaces` are this host's addresses (config::Site), of which inet_interfaces chooses. Reads myorigin's file.
    static OwnOptions from(const config::Snapshot& snapshot, std::span<const config::HostAddress> interfaces, FileOpener& opener);
};

/// myorigin, or the first line of the file it names.
Result<std::string> origin_of(std::string text, FileOpener& opener);

class OwnDomains final : public LocalDomains {
public:
    OwnDomains(const OwnOptions& options, Tables& tables);
    /// The domain is in mydestination, or is a literal of ours.
    Result<bool> destination(Lookups& lookups, std::string_view domain) const;
    /// The same, or myorigin: where a user alone is looked up.
    Result<bool> local(Lookups& lookups, std::string_view domain) const override;
    /// "[192.0.2.1]", "[IPv6:2001:db8::1]".
    bool own_literal(std::string_view domain) const;
    /// One of our interfaces or proxies: "192.0.2.1".
    bool own_address(std::string_view address) const;
    bool in_memory() const { return mydestination_.in_memory(); }

private:
    std::string myorigin_;
    std::vector<Address> addresses_;
    MatchList mydestination_;
};

}  // namespace posthorn::tables
