// policy/restriction.hpp: the smtpd_*_restrictions lists, compiled once.                  postconf(5), SMTPD_ACCESS_README
// Shape    words between commas and white space. A word is a restriction, a "check_x_access" with the table behind it, a word with what it
//          asks behind it (a policy server, a DNS list, a number of seconds), a bare "type:table" (an access table of the list's own
//          subject), or the name of a class; a numeric reply with text is none.
// Classes  smtpd_restriction_classes: parameters that are lists themselves; they may name each other, not themselves (checked).
// Errors   of a list: an Error naming parameter and word. Nothing is evaluated from a list that has one.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::receive::policy {

/// What a restriction does. The order is that of the table in restriction.cpp.
enum class Kind : std::uint8_t {
    permit,
    reject,
    defer,
    restriction_class,
    warn_if_reject,
    defer_if_permit,
    defer_if_reject,
    permit_mynetworks,
    permit_sasl_authenticated,
    permit_tls_clientcerts,
    permit_tls_all_clientcerts,
    permit_naked_ip_address,
    permit_mx_backup,
    permit_auth_destination,
    permit_inet_interfaces,
    reject_unauth_destination,
    defer_unauth_destination,
    reject_unauth_pipelining,
    reject_plaintext_session,
    reject_multi_recipient_bounce,
    reject_unknown_client_hostname,
    reject_unknown_reverse_client_hostname,
    reject_invalid_helo_hostname,
    reject_non_fqdn_helo_hostname,
    reject_unknown_helo_hostname,
    reject_non_fqdn_sender,
    reject_non_fqdn_recipient,
    reject_unknown_sender_domain,
    reject_unknown_recipient_domain,
    reject_unlisted_sender,
    reject_unlisted_recipient,
    reject_unverified_sender,
    reject_unverified_recipient,
    check_client_access,
    check_reverse_client_hostname_access,
    check_helo_access,
    check_sender_access,
    check_recipient_access,
    check_etrn_access,
    check_ccert_access,
    check_sasl_access,
    check_server_access,                                // check_x_mx_access, check_x_ns_access, check_x_a_access
    check_policy_service,
    reject_rbl_client,
    reject_maps_rbl,
    reject_rhsbl,                                       // of a domain name
    permit_dnswl_client,
    permit_rhswl_client,
    reject_sender_login_mismatch,
    reject_authenticated_sender_login_mismatch,
    reject_unauthenticated_sender_login_mismatch,
    reject_known_sender_login_mismatch,
    reject_spf_fail,
    sleep,
};

/// Whose name check_server_access and reject_rhsbl are about, and which of its servers the former.
enum class Party : std::uint8_t { client, reverse_client, helo, sender, recipient };
enum class Servers : std::uint8_t { mx, ns, a };

/// The lists, in the order in which a session meets them.
enum class Stage : std::uint8_t { client, helo, sender, relay, recipient, data, end_of_data, etrn };

/// "smtpd_client_restrictions"
std::string_view parameter_of(Stage stage);

struct Restriction;
using RestrictionList = std::vector<Restriction>;

struct Restriction {
    Kind kind;
    std::string word;                                   // as written, for logs
    std::string argument;                               // "type:name" of check_*_access; the policy server, DNS list or number behind others
    std::shared_ptr<const RestrictionList> members;     // of a class
    Party party = Party::client;
    Servers servers = Servers::mx;
    std::vector<std::string> order;                     // check_ccert_access: which fingerprints are keys, cert_ and pubkey_

    /// `argument` names a lookup table.
    bool has_table() const;
};

/// Compiles a list. `class_value` gives the value of a restriction class, none where the word is no class.
using ClassValue = std::function<std::optional<std::string>(std::string_view name)>;
Result<RestrictionList> compile(Stage stage, std::string_view parameter, std::string_view text, const ClassValue& class_value);

/// What all lists come to.
struct Lists {
    RestrictionList client, helo, sender, relay, recipient, data, end_of_data, etrn;
    std::map<std::string, std::shared_ptr<const RestrictionList>, std::less<>> classes;      // also what access tables may name
    const RestrictionList& of(Stage stage) const;
    /// Each restriction of all lists and classes, those within others too.
    void each(const std::function<void(const Restriction&)>& seen) const;
};

/// Never an open relay: of the relay or recipient restrictions at least one must end what is not ours. Empty: all is well;
/// else the text of Postfix's fatal error.
std::optional<std::string> open_relay_problem(const Lists& lists);

}  // namespace posthorn::receive::policy
