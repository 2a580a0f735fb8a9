// receive/policy/params.hpp: the parameters of the restrictions: their lists, their reply codes, and whom they ask.
// Their place in the catalogue is receive/params.hpp's, which has the list of all.
#pragma once

#include "config/param.hpp"

namespace posthorn::receive {

using config::Param;
using config::Raw;

inline constexpr Param<std::string> smtpd_client_restrictions{
    .name = "smtpd_client_restrictions", .initial = "", .doc = "Restrictions on the client."};
inline constexpr Param<std::string> smtpd_helo_restrictions{
    .name = "smtpd_helo_restrictions", .initial = "", .doc = "Restrictions on HELO and EHLO."};
inline constexpr Param<std::string> smtpd_sender_restrictions{
    .name = "smtpd_sender_restrictions", .initial = "", .doc = "Restrictions on MAIL FROM."};
inline constexpr Param<std::string> smtpd_relay_restrictions{
    .name = "smtpd_relay_restrictions",
    .initial = "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}",
    .doc = "Who may send where: with smtpd_recipient_restrictions, what keeps the server from being an open relay."};
inline constexpr Param<std::string> smtpd_recipient_restrictions{
    .name = "smtpd_recipient_restrictions", .initial = "", .doc = "Restrictions on RCPT TO."};
inline constexpr Param<std::string> smtpd_data_restrictions{
    .name = "smtpd_data_restrictions", .initial = "", .doc = "Restrictions on DATA and BDAT."};
inline constexpr Param<std::string> smtpd_end_of_data_restrictions{
    .name = "smtpd_end_of_data_restrictions", .initial = "", .doc = "Restrictions at the end of content."};
inline constexpr Param<std::string> smtpd_etrn_restrictions{.name = "smtpd_etrn_restrictions", .initial = "", .doc = "Restrictions on ETRN."};
inline constexpr Param<std::string> smtpd_restriction_classes{
    .name = "smtpd_restriction_classes", .initial = "", .doc = "Names of parameters that are restriction lists."};
inline constexpr Param<bool> smtpd_relay_before_recipient_restrictions{.name = "smtpd_relay_before_recipient_restrictions",
                                                                       .initial = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}",
                                                                       .doc = "The relay restrictions come first."};
inline constexpr Param<bool> smtpd_reject_unlisted_recipient{
    .name = "smtpd_reject_unlisted_recipient", .initial = "yes", .doc = "Refuse unknown recipients also where no restriction says so."};
inline constexpr Param<bool> smtpd_reject_unlisted_sender{
    .name = "smtpd_reject_unlisted_sender", .initial = "no", .doc = "Refuse unknown senders of ours also where no restriction says so."};
inline constexpr Param<std::string> smtpd_null_access_lookup_key{
    .name = "smtpd_null_access_lookup_key", .initial = "<>", .doc = "What access tables have for the null sender."};
inline constexpr Param<std::string> smtpd_log_access_permit_actions{
    .name = "smtpd_log_access_permit_actions", .initial = "", .doc = "Restrictions whose permit is logged."};
inline constexpr Param<bool> show_user_unknown_table_name{
    .name = "show_user_unknown_table_name", .initial = "yes", .doc = "\"User unknown\" names the table."};

inline constexpr Param<int> access_map_reject_code{.name = "access_map_reject_code", .initial = "554", .doc = "For REJECT of an access table."};
inline constexpr Param<int> access_map_defer_code{.name = "access_map_defer_code", .initial = "450", .doc = "For DEFER of an access table."};
inline constexpr Param<int> defer_code{.name = "defer_code", .initial = "450", .doc = "For the restriction defer."};
inline constexpr Param<int> reject_code{.name = "reject_code", .initial = "554", .doc = "For the restriction reject."};
inline constexpr Param<int> invalid_hostname_reject_code{
    .name = "invalid_hostname_reject_code", .initial = "501", .doc = "For reject_invalid_helo_hostname."};
inline constexpr Param<int> non_fqdn_reject_code{.name = "non_fqdn_reject_code", .initial = "504", .doc = "For reject_non_fqdn_*."};
inline constexpr Param<int> relay_domains_reject_code{.name = "relay_domains_reject_code", .initial = "554", .doc = "For reject_unauth_destination."};
inline constexpr Param<int> unknown_address_reject_code{
    .name = "unknown_address_reject_code", .initial = "450", .doc = "For reject_unknown_sender_domain and reject_unknown_recipient_domain."};
inline constexpr Param<int> unknown_client_reject_code{
    .name = "unknown_client_reject_code", .initial = "450", .doc = "For reject_unknown_client_hostname."};
inline constexpr Param<int> unknown_hostname_reject_code{
    .name = "unknown_hostname_reject_code", .initial = "450", .doc = "For reject_unknown_helo_hostname."};
inline constexpr Param<int> multi_recipient_bounce_reject_code{
    .name = "multi_recipient_bounce_reject_code", .initial = "550", .doc = "For reject_multi_recipient_bounce."};
inline constexpr Param<int> plaintext_reject_code{.name = "plaintext_reject_code", .initial = "450", .doc = "For reject_plaintext_session."};
inline constexpr Param<int> unknown_local_recipient_reject_code{
    .name = "unknown_local_recipient_reject_code", .initial = "550", .doc = "For recipients not in local_recipient_maps."};
inline constexpr Param<int> unknown_relay_recipient_reject_code{
    .name = "unknown_relay_recipient_reject_code", .initial = "550", .doc = "For recipients not in relay_recipient_maps."};
inline constexpr Param<int> unknown_virtual_alias_reject_code{
    .name = "unknown_virtual_alias_reject_code", .initial = "550", .doc = "For recipients not in virtual_alias_maps."};
inline constexpr Param<int> unknown_virtual_mailbox_reject_code{
    .name = "unknown_virtual_mailbox_reject_code", .initial = "550", .doc = "For recipients not in virtual_mailbox_maps."};
inline constexpr Param<std::string> unknown_address_tempfail_action{.name = "unknown_address_tempfail_action",
                                                                    .initial = "$reject_tempfail_action",
                                                                    .least = 1,
                                                                    .doc = "defer_if_permit or defer: when the domain's records cannot be had."};
inline constexpr Param<int> unverified_recipient_reject_code{.name = "unverified_recipient_reject_code",
                                                             .initial = "450",
                                                             .least = 200,
                                                             .most = 599,
                                                             .doc = "For reject_unverified_recipient, where the probe was refused."};
inline constexpr Param<int> unverified_recipient_defer_code{
    .name = "unverified_recipient_defer_code",
    .initial = "450",
    .least = 200,
    .most = 499,
    .doc = "For reject_unverified_recipient, where the probe failed for now or has not ended; 2xx: let pass."};
inline constexpr Param<std::string> unverified_recipient_reject_reason{
    .name = "unverified_recipient_reject_reason", .initial = "", .doc = "What the client is told instead of the reason."};
inline constexpr Param<std::string> unverified_recipient_tempfail_action{
    .name = "unverified_recipient_tempfail_action",
    .initial = "$reject_tempfail_action",
    .least = 1,
    .doc = "defer_if_permit or defer: what a 4xx of reject_unverified_recipient does."};
inline constexpr Param<int> unverified_sender_reject_code{.name = "unverified_sender_reject_code",
                                                          .initial = "450",
                                                          .least = 200,
                                                          .most = 599,
                                                          .doc = "For reject_unverified_sender, where the probe was refused."};
inline constexpr Param<int> unverified_sender_defer_code{
    .name = "unverified_sender_defer_code",
    .initial = "450",
    .least = 200,
    .most = 499,
    .doc = "For reject_unverified_sender, where the probe failed for now or has not ended; 2xx: let pass."};
inline constexpr Param<std::string> unverified_sender_reject_reason{
    .name = "unverified_sender_reject_reason", .initial = "", .doc = "What the client is told instead of the reason."};
inline constexpr Param<std::string> unverified_sender_tempfail_action{.name = "unverified_sender_tempfail_action",
                                                                      .initial = "$reject_tempfail_action",
                                                                      .least = 1,
                                                                      .doc =
                                                                          "defer_if_permit or defer: what a 4xx of reject_unverified_sender does."};
inline constexpr Param<int> address_verify_poll_count{
    .name = "address_verify_poll_count",
    .initial = "${stress?{1}:{3}}",
    .least = 1,
    .doc = "With address_verify_poll_delay: how long RCPT TO waits for a probe to end, as their product; 1: not at all."};
inline constexpr Param<std::chrono::seconds> address_verify_poll_delay{
    .name = "address_verify_poll_delay",
    .initial = "3s",
    .least = std::chrono::seconds{1},
    .doc = "See address_verify_poll_count. Nobody polls: the end of a probe is told at once."};
inline constexpr Param<std::string> unknown_helo_hostname_tempfail_action{
    .name = "unknown_helo_hostname_tempfail_action", .initial = "$reject_tempfail_action", .least = 1, .doc = "The same for the HELO name."};

inline constexpr Param<std::chrono::seconds> smtpd_policy_service_timeout{
    .name = "smtpd_policy_service_timeout",
    .initial = "100s",
    .least = std::chrono::seconds{1},
    .doc = "How long to wait for a policy server to take the connection, the request, to answer."};
inline constexpr Param<std::chrono::seconds> smtpd_policy_service_max_idle{.name = "smtpd_policy_service_max_idle",
                                                                           .initial = "300s",
                                                                           .least = std::chrono::seconds{1},
                                                                           .doc = "An unused connection to a policy server is closed then."};
inline constexpr Param<std::chrono::seconds> smtpd_policy_service_max_ttl{.name = "smtpd_policy_service_max_ttl",
                                                                          .initial = "1000s",
                                                                          .least = std::chrono::seconds{1},
                                                                          .doc = "Any connection to a policy server is closed then."};
inline constexpr Param<int> smtpd_policy_service_request_limit{
    .name = "smtpd_policy_service_request_limit", .initial = "0", .doc = "Requests on one connection to a policy server; 0: no limit."};
inline constexpr Param<int> smtpd_policy_service_try_limit{.name = "smtpd_policy_service_try_limit",
                                                           .initial = "2",
                                                           .least = 1,
                                                           .doc = "How often a policy server is asked before the default action counts."};
inline constexpr Param<std::chrono::seconds> smtpd_policy_service_retry_delay{.name = "smtpd_policy_service_retry_delay",
                                                                              .initial = "1s",
                                                                              .least = std::chrono::seconds{1},
                                                                              .doc = "The pause before a policy server is asked again."};
inline constexpr Param<std::string> smtpd_policy_service_default_action{
    .name = "smtpd_policy_service_default_action",
    .initial = "451 4.3.5 Server configuration problem",
    .least = 1,
    .doc = "What counts where a policy server cannot be asked: a result as of access(5)."};
inline constexpr Param<std::string> smtpd_policy_service_policy_context{
    .name = "smtpd_policy_service_policy_context", .initial = "", .doc = "The attribute policy_context of requests to policy servers."};
inline constexpr Param<Raw> default_rbl_reply{
    .name = "default_rbl_reply",
    .initial = "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}",
    .least = 1,
    .doc = "What is said to who stands in a list of the DNS."};
inline constexpr Param<Raw> smtpd_expansion_filter{
    .name = "smtpd_expansion_filter",
    .initial = R"x(\t\40!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~)x",
    .least = 1,
    .doc =
        "The characters that may stand, as they are, in what $names of default_rbl_reply, rbl_reply_maps and reject footers stand for; others become _."};
inline constexpr Param<std::string> rbl_reply_maps{
    .name = "rbl_reply_maps", .initial = "", .doc = "Tables asked with the domain of a list, for a text instead of default_rbl_reply."};
inline constexpr Param<int> maps_rbl_reject_code{.name = "maps_rbl_reject_code", .initial = "554", .doc = "For lists of the DNS."};
inline constexpr Param<std::string> maps_rbl_domains{
    .name = "maps_rbl_domains", .initial = "", .doc = "Lists for reject_maps_rbl.", .obsolete = "reject_rbl_client"};
inline constexpr Param<std::string> permit_mx_backup_networks{
    .name = "permit_mx_backup_networks", .initial = "", .doc = "permit_mx_backup needs the best mail host of a domain to be in one of these."};
inline constexpr Param<bool> allow_untrusted_routing{
    .name = "allow_untrusted_routing",
    .initial = "no",
    .doc = "Strangers may say the way to a domain of relay_domains: user%elsewhere@relay. It makes an open relay of whoever believes our mail."};
inline constexpr Param<std::string> smtpd_sender_login_maps{
    .name = "smtpd_sender_login_maps", .initial = "", .doc = "Tables from a sender address to the logins that own it."};

}  // namespace posthorn::receive
