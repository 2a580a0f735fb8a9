// cleanup/options.hpp: the configuration as values.
#pragma once

#include "tables/own.hpp"

namespace posthorn::cleanup {

/// Who counts as local for the header: local_header_rewrite_clients.
struct LocalClients {
    bool inet_interfaces = true, mynetworks = false, sasl_authenticated = false;
    std::string tables;                           // type:name, looked up by client address
};

/// How incomplete addresses are completed.
struct Completion {
    std::string origin, domain;                   // user@origin, user@host.domain; origin empty: nothing is done
    bool at_origin = true, dot_domain = false, percent_hack = true, swap_bangpath = true;
};

struct Options {
    tables::OwnOptions own;
    std::string hostname = "localhost", mynetworks, virtual_alias_maps, undisclosed_recipients_header;
    std::vector<std::string> drop_headers;        // lower case
    LocalClients local_clients;
    bool mynetworks_parent_style = true, always_add_missing = false, address_mappings = true, original_recipient = true;
    bool propagate_extensions = true, smtputf8 = true;
    Completion local, remote;                     // for the header of local clients and every envelope; for other clients' headers
    std::size_t hopcount_limit = 50, header_size_limit = 102400, token_limit = 10240;
    std::size_t expansion_limit = 1000, recursion_limit = 1000, address_length_limit = 1000;
    std::vector<std::string> smtputf8_autodetect = {"sendmail", "verify"};

    /// `interfaces`: this host's addresses (config::Site). receive_override_options of the service counts.
    static Options from(const config::Snapshot& snapshot, std::span<const config::HostAddress> interfaces, tables::FileOpener& opener);
};

}  // namespace posthorn::cleanup
