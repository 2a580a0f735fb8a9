// policy/settings.hpp: what the restrictions need of main.cf beside the lists: reply codes and switches.
#pragma once

#include "receive/policy/expansion_filter.hpp"
#include "receive/policy/restriction.hpp"
#include "receive/policy/service_spec.hpp"
#include "tables/keys.hpp"

namespace posthorn::receive::policy {

enum class TempfailAction : std::uint8_t { defer_if_permit, defer };

/// Of reject_unverified_recipient or reject_unverified_sender.
struct Unverified {
    int reject = 450, defer = 450;           // 2xx: let pass
    std::string reason;                      // instead of the real one
    TempfailAction tempfail = TempfailAction::defer_if_permit;
};

struct Settings {
    Lists lists;
    bool delay_reject = true;
    bool relay_first = true;
    bool unlisted_recipient = true;
    bool unlisted_sender = false;
    bool parent_domains = true;              // parent_domain_matches_subdomains has smtpd_access_maps
    bool soft_bounce = false;
    bool show_table_name = true;
    bool utf8 = true;
    std::string null_sender_key = "<>";
    tables::Delimiter delimiter;
    std::string log_permit;                  // smtpd_log_access_permit_actions

    int access_reject = 554, access_defer = 450, reject = 554, defer = 450, invalid_hostname = 501, non_fqdn = 504, relay = 554;
    int unknown_address = 450, unknown_client = 450, unknown_hostname = 450, multi_recipient_bounce = 550, plaintext = 450;
    int unknown_local = 550, unknown_relay = 550, unknown_virtual_alias = 550, unknown_virtual_mailbox = 550;
    TempfailAction address_tempfail = TempfailAction::defer_if_permit, helo_tempfail = TempfailAction::defer_if_permit;
    Unverified unverified_recipient, unverified_sender;

    ServiceLimits services;                  // smtpd_policy_service_*
    std::string list_reply;                  // default_rbl_reply, unexpanded
    ExpansionFilter expansion_filter;        // of what $names in it, and in footers, stand for
    std::string list_replies;                // rbl_reply_maps
    int listed = 554;                        // maps_rbl_reject_code
    std::vector<std::string> old_lists;      // maps_rbl_domains
    std::string mx_backup_networks;
    bool mx_backup_parent_style = true;
    bool filter_before_queue = false;        // smtpd_proxy_filter: mail does not enter a queue here
    bool untrusted_routing = false;          // user%elsewhere@relay is mail for the relay
    bool logins = false;                     // smtpd_sasl_auth_enable
    std::string login_maps;                  // smtpd_sender_login_maps
    std::string client_certificates;         // relay_clientcerts
    std::string myhostname;
};

}  // namespace posthorn::receive::policy
