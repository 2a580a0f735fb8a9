// cleanup/options.hpp: the configuration as values.
#pragma once

#include "tables/own.hpp"

namespace posthorn::cleanup {

/// Clients, as local_header_rewrite_clients, dkim_sign_clients and mailauth_exempt_clients name them.
struct LocalClients {
    bool inet_interfaces = true, mynetworks = false, sasl_authenticated = false;
    std::string tables;                           // type:name, looked up by client address
};

/// How incomplete addresses are completed.
struct Completion {
    std::string origin, domain;                   // user@origin, user@host.domain; origin empty: nothing is done
    bool at_origin = true, dot_domain = false, percent_hack = true, swap_bangpath = true;
};

/// header_checks and the like.
struct CheckOptions {
    std::string header, mime, nested, body;       // type:name ...
    std::string made;                             // milter_header_checks
    std::uint64_t body_octets = 51200;            // of each segment
    std::size_t line_octets = 2048;
    bool mime_input = true;                       // disable_mime_input_processing = no
    unsigned nesting = 100;
    std::size_t boundary = 2048;
    bool count_nesting = false;                   // also where nothing else is looked for in the body
    std::string rejected, stripped;               // octets of message_reject_characters, message_strip_characters
    bool strict_headers = false, strict_body = false, strict_domain = false;
    bool force_7bit = false;                      // force_mime_input_conversion
};

/// Where an address stands.
enum class Role : std::uint8_t { envelope_sender, envelope_recipient, header_sender, header_recipient };
/// canonical_classes and the like.
struct Classes {
    bool in[4] = {};
    bool has(Role role) const { return in[static_cast<std::size_t>(role)]; }
};

/// What becomes of a message whose header ends at a line that is no field, and not empty.
enum class BadEnd : std::uint8_t { fix, add_header, reject };

struct Options {
    std::string canonical_maps, sender_canonical_maps, recipient_canonical_maps, sender_bcc_maps, recipient_bcc_maps, always_bcc,
        masquerade_exceptions;
    Classes canonical_classes{{true, true, true, true}}, sender_canonical_classes{{true, false, true, false}};
    Classes recipient_canonical_classes{{false, true, false, true}}, masquerade_classes{{true, false, true, true}};
    std::vector<std::string> masquerade_domains;
    bool propagate_canonical = true;
    CheckOptions checks;
    tables::OwnOptions own;
    std::string hostname = "localhost", mynetworks, virtual_alias_maps, undisclosed_recipients_header;
    std::vector<std::string> drop_headers;        // lower case
    std::string scheduling_header;                // the name of a field; empty: none
    LocalClients local_clients, signed_clients, exempt_clients;
    bool mynetworks_parent_style = true, always_add_missing = false, name_in_comment = false, address_mappings = true, original_recipient = true;
    std::string name_charset = "utf-8";           // of full names
    BadEnd bad_end = BadEnd::fix;
    bool propagate_extensions = true, smtputf8 = true;
    bool judged = false;                          // whether its client's header is completed was decided before: as the envelope says
    bool requiretls_header = true, tls_required = true;     // the fields Require-TLS-ESMTP: yes and TLS-Required: no count
    Completion local, remote;                     // for the header of local clients and every envelope; for other clients' headers
    std::size_t hopcount_limit = 50, header_size_limit = 102400, token_limit = 10240;
    std::size_t expansion_limit = 1000, recursion_limit = 1000, address_length_limit = 1000;
    std::vector<std::string> smtputf8_autodetect = {"sendmail", "verify"};

    /// `interfaces`: this host's addresses (config::Site). `overrides`: receive_override_options of the service that receives.
    static Options from(const config::Snapshot& snapshot, std::span<const config::HostAddress> interfaces, tables::FileOpener& opener,
                        std::string_view overrides);
};

}  // namespace posthorn::cleanup
