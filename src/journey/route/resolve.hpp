// route/resolve.hpp: the decision where an address goes.                     RFC 5321 3.6, 5; trivial-rewrite(8), transport(5)
// Shape    internal addresses (no quotes). What cannot be delivered has the error transport, and its next hop is the text of
//          the bounce: "5.1.1 User unknown in virtual alias table".
// Errors   a table failed: try later. Never "does not exist".
#pragma once

#include "handoff/interfaces.hpp"
#include "route/options.hpp"
#include "tables/maps.hpp"

#include <optional>

namespace posthorn::route {

using handoff::AddressClass;
using tables::Lookups;

struct Target {
    AddressClass address_class = AddressClass::other;
    bool malformed = false;       // what is left of it is no address
    bool routed = false;          // the local part has an operator left that the next host may know
    std::string transport, nexthop, address;
    bool error() const { return is_error; }
    bool reports = false;         // report_addresses: it exists, and other tables have no say
    bool is_error = false;        // the error transport, chosen here or by a table
};

/// transport + next hop, lower case: what shares connections and concurrency.
std::string site_key(std::string_view transport, std::string_view nexthop);

/// "transport:nexthop" of a parameter or table; a missing part is empty. Braces, brackets and further colons belong to the next hop.
struct TransportNexthop {
    std::string_view transport, nexthop;
    bool has_colon = false;
};
TransportNexthop split_transport(std::string_view text);

/// Where a content filter ("transport:nexthop") gets mail for this address.
handoff::Route to_filter(std::string_view filter, std::string_view address, const Options& options);

/// Where mail goes on that `text` (best_mx_transport, "transport:nexthop") has instead: to the same next hop where it names none.
handoff::Route passed_on(const handoff::Route& route, std::string_view text);

class Resolver {
public:
    enum class Purpose { mail, probe };
    Resolver(const Options& options, Purpose purpose, tables::Tables& tables);

    Result<Target> resolve(Lookups& lookups, std::string_view sender, std::string_view address) const;
    /// What retry_schedule_maps says of the recipient, else of the transport (a pool's name, too); empty: nothing.
    Result<std::string> retry_schedule(Lookups& lookups, std::string_view recipient, std::string_view transport) const;
    /// Does the address exist, as far as tables tell? `sender_too`: also for reject_unlisted_sender.
    Result<handoff::AddressStanding> standing(Lookups& lookups, std::string_view address) const;
    Result<bool> in_mynetworks(Lookups& lookups, std::string_view name, std::string_view address) const;
    bool own_address(std::string_view address) const { return own_.own_address(address); }
    bool in_memory() const { return in_memory_; }
    const Options& options() const { return options_; }

private:
    struct Mailbox {
        std::string local, domain;
        bool local_domain = false, routed = false, bad = false;
    };
    Result<Mailbox> mailbox(Lookups& lookups, std::string_view address) const;
    Result<void> by_class(Lookups& lookups, std::string_view sender, const Mailbox& box, Target& target) const;
    Result<void> relay_by_host(Lookups& lookups, std::string_view sender, const Mailbox& box, std::string_view wanted, Target& target) const;
    Result<void> by_transport_maps(Lookups& lookups, const Mailbox& box, Target& target) const;
    Result<std::optional<std::string>> by_recipient(Lookups& lookups, const tables::Maps& maps, std::string_view local, std::string_view domain,
                                                    bool parent_style) const;
    Result<std::optional<std::string>> by_sender(Lookups& lookups, const tables::Maps& maps, std::string_view sender,
                                                 std::string_view empty_key) const;
    bool takes_reports(const Mailbox& box) const;
    void fail(Target& target, std::string text) const;
    const tables::Maps& local_recipients() const;

    Options options_;
    Way way_;
    tables::OwnDomains own_;
    tables::MatchList virtual_alias_domains_, virtual_mailbox_domains_, relay_domains_, mynetworks_;
    tables::Tables& tables_;
    mutable std::optional<tables::Maps> local_recipient_maps_;  // none: not opened yet
    tables::Maps virtual_alias_maps_, relay_recipient_maps_, virtual_mailbox_maps_, canonical_maps_, recipient_canonical_maps_, relocated_maps_,
        transport_maps_, retry_schedule_maps_, relayhost_maps_, default_transport_maps_;
    bool transport_parent_style_ = false, schedule_parent_style_ = false, in_memory_ = true;
};

}  // namespace posthorn::route
