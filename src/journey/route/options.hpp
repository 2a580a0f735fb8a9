// route/options.hpp: the configuration as values.
#pragma once

#include "tables/own.hpp"

namespace posthorn::route {

/// transport:nexthop by class and what overrides it: once for mail, once for probes.
struct Way {
    std::string local_transport = "local", virtual_transport = "virtual", relay_transport = "relay", default_transport = "smtp";
    std::string relayhost, transport_maps, sender_dependent_relayhost_maps, sender_dependent_default_transport_maps;
};

struct Options {
    tables::OwnOptions own;
    Way mail, probe;
    std::string virtual_alias_domains, virtual_alias_maps, virtual_mailbox_domains, relay_domains;
    std::string local_recipient_maps, relay_recipient_maps, virtual_mailbox_maps, canonical_maps, recipient_canonical_maps;
    std::string filter_nexthop, hostname = "localhost";
    std::string relocated_maps, retry_schedule_maps, mynetworks, parent_domain_matches_subdomains;
    std::vector<std::string> report_addresses;       // in lower case
    bool relocated_prefix = true, percent_hack = true, swap_bangpath = true, dequoted = true;
    bool null_domain = false, numeric_domain = false, show_table_name = true;
    std::string empty_recipient = "MAILER-DAEMON", empty_relayhost_key = "<>", empty_transport_key = "<>", error_service = "error";

    /// `interfaces`: this host's addresses (config::Site).
    static Options from(const config::Snapshot& snapshot, std::span<const config::HostAddress> interfaces, tables::FileOpener& opener);
};

}  // namespace posthorn::route
