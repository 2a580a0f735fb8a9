// receive/params.hpp: the parameters of the SMTP server. Defaults are those of Postfix 3.11; `own` ones are Posthorn's.
// Those of the restrictions are in policy/params.hpp; the list at the end has both.
#pragma once

#include "config/param.hpp"
#include "receive/policy/params.hpp"
#include "receive/screen/params.hpp"

#include <span>

namespace posthorn::receive {

using config::List;
using config::Octets;
using config::Param;
using config::ParamInfo;
using config::Raw;

inline constexpr Param<std::string> myhostname{
    .name = "myhostname", .initial = "(site)", .doc = "The name of this host, in greetings and Received: fields."};
inline constexpr Param<std::string> mail_name{
    .name = "mail_name", .initial = "Posthorn", .least = 1, .doc = "The name of the program, in Received: fields."};
inline constexpr Param<std::string> smtpd_banner{.name = "smtpd_banner",
                                                 .initial = "$myhostname ESMTP $mail_name",
                                                 .least = 1,
                                                 .doc = "The text after the 220 of the greeting.",
                                                 .source = "RFC 5321 4.2: begins with the host's name"};
inline constexpr Param<std::string> stress{
    .name = "stress", .initial = "", .doc = "Not empty: the server is under stress. Set by the server itself from 80 % of its places."};

inline constexpr Param<std::chrono::seconds> smtpd_timeout{.name = "smtpd_timeout",
                                                           .initial = "${stress?{10}:{300}}s",
                                                           .least = std::chrono::seconds{1},
                                                           .doc = "How long to wait for the client, per read or write.",
                                                           .source = "RFC 5321 4.5.3.2.7"};
inline constexpr Param<std::chrono::seconds> smtpd_starttls_timeout{.name = "smtpd_starttls_timeout",
                                                                    .initial = "${stress?{10}:{300}}s",
                                                                    .least = std::chrono::seconds{1},
                                                                    .doc = "The limit for the TLS handshake."};
inline constexpr Param<bool> smtpd_per_request_deadline{.name = "smtpd_per_request_deadline",
                                                        .initial = "${smtpd_per_record_deadline?{$smtpd_per_record_deadline}:{${stress?{yes}:{no}}}}",
                                                        .doc = "smtpd_timeout limits a whole request, reply included, and not each read or write."};
inline constexpr Param<int> smtpd_min_data_rate{
    .name = "smtpd_min_data_rate",
    .initial = "500",
    .least = 1,
    .doc = "With a per-request deadline: octets of content a second that move the deadline, never beyond smtpd_timeout."};
inline constexpr Param<std::string> receive_override_options{
    .name = "receive_override_options",
    .initial = "",
    .doc = "What is left out for the mail of this service: no_unknown_recipient_checks, no_address_mappings, no_header_body_checks, no_milters."};
inline constexpr Param<std::string> cleanup_service_name{.name = "cleanup_service_name",
                                                         .initial = "cleanup",
                                                         .least = 1,
                                                         .doc = "The line of master.cf whose options say how the mail of this service is cleaned."};
inline constexpr Param<std::string> smtpd_authorized_xclient_hosts{
    .name = "smtpd_authorized_xclient_hosts",
    .initial = "",
    .doc = "Clients that may speak for others: what they say by XCLIENT counts for access.",
    .source = "XCLIENT_README"};
inline constexpr Param<std::string> smtpd_authorized_xforward_hosts{.name = "smtpd_authorized_xforward_hosts",
                                                                    .initial = "",
                                                                    .doc = "Clients that may say by XFORWARD whose mail it is, for the log.",
                                                                    .source = "XFORWARD_README"};
inline constexpr Param<std::string> smtpd_proxy_filter{
    .name = "smtpd_proxy_filter",
    .initial = "",
    .doc =
        "A filter before the queue: host:port, inet:host:port or unix:path. Mail goes to it while its client waits, and its reply is the client's.",
    .source = "SMTPD_PROXY_README"};
inline constexpr Param<std::string> smtpd_proxy_options{
    .name = "smtpd_proxy_options",
    .initial = "",
    .doc = "speed_adjust: the filter is asked when a message is whole, which keeps fewer of its sessions."};
inline constexpr Param<std::string> smtpd_proxy_ehlo{
    .name = "smtpd_proxy_ehlo", .initial = "$myhostname", .doc = "The name said to the filter before the queue."};
inline constexpr Param<std::chrono::seconds> smtpd_proxy_timeout{.name = "smtpd_proxy_timeout",
                                                                 .initial = "100s",
                                                                 .least = std::chrono::seconds{1},
                                                                 .doc = "How long the filter before the queue may take for one reply."};
inline constexpr Param<std::string> smtpd_upstream_proxy_protocol{
    .name = "smtpd_upstream_proxy_protocol",
    .initial = "",
    .doc = "haproxy: a load balancer says who the client is, in version 1 or 2 of the PROXY protocol."};
inline constexpr Param<std::chrono::seconds> smtpd_upstream_proxy_timeout{
    .name = "smtpd_upstream_proxy_timeout", .initial = "5s", .least = std::chrono::seconds{1}, .doc = "How long its header is waited for."};
inline constexpr Param<std::string> content_filter{
    .name = "content_filter",
    .initial = "",
    .doc = "transport:nexthop that all mail goes to first; it comes back by a service that overrides this with an empty value.",
    .source = "FILTER_README"};
inline constexpr Param<int> line_length_limit{
    .name = "line_length_limit", .initial = "2048", .least = 512, .doc = "The longest command line; what is beyond it is dropped."};
inline constexpr Param<Octets> message_size_limit{
    .name = "message_size_limit", .initial = "10240000", .doc = "The largest message; 0: no limit.", .source = "RFC 1870"};
inline constexpr Param<std::string> default_verp_delimiters{
    .name = "default_verp_delimiters",
    .initial = "+=",
    .least = 2,
    .most = 2,
    .doc = "The delimiters of a return path that names its recipient, where XVERP or sendmail -XV gives none."};
inline constexpr Param<std::string> verp_delimiter_filter{
    .name = "verp_delimiter_filter", .initial = "-=+", .least = 1, .doc = "The characters that XVERP and sendmail -XV may give as delimiters."};
inline constexpr Param<std::string> smtpd_authorized_verp_clients{
    .name = "smtpd_authorized_verp_clients",
    .initial = "$authorized_verp_clients",
    .doc = "Clients that may ask for a return path for each recipient (XVERP); the others are not offered it."};
inline constexpr Param<std::chrono::seconds> smtpd_future_release_limit{
    .name = "smtpd_future_release_limit",
    .initial = "0",
    .unit = config::Unit::seconds,
    .least = std::chrono::seconds{0},
    .most = std::chrono::seconds{999'999'999},
    .doc =
        "How long a client may ask that its mail be held (FUTURERELEASE), or who calls sendmail (-O holdfor, -O holduntil); 0: not offered. It is for "
        "smtpd_future_release_clients and who has authenticated. Not where there is an smtpd_proxy_filter, which may not hand it on.",
    .source = "RFC 4865",
    .own = true};
inline constexpr Param<std::string> smtpd_future_release_clients{
    .name = "smtpd_future_release_clients",
    .initial = "$mynetworks",
    .doc =
        "Clients that may say when their mail is to go, beside those who have authenticated: by FUTURERELEASE, and by the field that scheduling_header "
        "names. The line that a content filter brings mail back to has this empty, or a stranger's field counts where that filter says no XFORWARD.",
    .own = true};
inline constexpr Param<std::string> smtpd_delivery_answer_domains{
    .name = "smtpd_delivery_answer_domains",
    .initial = "",
    .doc =
        "Domains (names, .parents, tables) of recipients whose mail is stored, and delivered while the client still waits for its reply: where the next host or "
        "the mailbox refuses it for good, the client is told so, and no bounce is made. Only mail all of whose recipients match; as clients name them.",
    .own = true};
inline constexpr Param<std::chrono::seconds> smtpd_delivery_answer_time_limit{
    .name = "smtpd_delivery_answer_time_limit",
    .initial = "30s",
    .least = std::chrono::seconds{0},
    .most = std::chrono::seconds{300},
    .doc = "How long a client waits for that; then its mail is in the queue as any other. Clients wait 600 seconds for this reply, or should.",
    .source = "RFC 5321 4.5.3.2.6",
    .own = true};
inline constexpr Param<Octets> queue_minfree{
    .name = "queue_minfree",
    .initial = "0",
    .doc = "Free octets the queue's file system must have for MAIL FROM to be accepted; less than 1.5 times message_size_limit is never enough."};
inline constexpr Param<int> smtpd_recipient_limit{
    .name = "smtpd_recipient_limit", .initial = "1000", .least = 1, .doc = "Recipients of one message.", .source = "RFC 5321 4.5.3.1.8"};
inline constexpr Param<int> smtpd_recipient_overshoot_limit{.name = "smtpd_recipient_overshoot_limit",
                                                            .initial = "1000",
                                                            .least = 1,
                                                            .doc = "Recipients beyond the limit that are refused before each counts as an error."};
inline constexpr Param<int> smtpd_soft_error_limit{
    .name = "smtpd_soft_error_limit", .initial = "10", .least = 1, .doc = "Errors after which each reply is delayed."};
inline constexpr Param<int> smtpd_hard_error_limit{
    .name = "smtpd_hard_error_limit", .initial = "${stress?{1}:{20}}", .least = 1, .doc = "Errors after which the client is sent away."};
inline constexpr Param<std::chrono::seconds> smtpd_error_sleep_time{
    .name = "smtpd_error_sleep_time", .initial = "1s", .doc = "The delay of a reply past smtpd_soft_error_limit."};
inline constexpr Param<int> smtpd_junk_command_limit{.name = "smtpd_junk_command_limit",
                                                     .initial = "${stress?{1}:{100}}",
                                                     .least = 1,
                                                     .doc = "NOOP, VRFY, ETRN, RSET and HELP without mail after which each counts as an error."};
inline constexpr Param<bool> smtpd_helo_required{.name = "smtpd_helo_required", .initial = "no", .doc = "MAIL needs HELO or EHLO first."};
inline constexpr Param<bool> smtpd_delay_reject{
    .name = "smtpd_delay_reject", .initial = "yes", .doc = "Client, HELO and sender restrictions wait for RCPT."};
inline constexpr Param<bool> disable_vrfy_command{.name = "disable_vrfy_command", .initial = "no", .doc = "VRFY is refused and not announced."};
inline constexpr Param<bool> strict_rfc821_envelopes{
    .name = "strict_rfc821_envelopes", .initial = "no", .doc = "Addresses in MAIL and RCPT need <> and no comments."};
inline constexpr Param<bool> smtputf8_enable{.name = "smtputf8_enable",
                                             .initial = "${{$compatibility_level} <level {1} ? {no} : {yes}}",
                                             .doc = "SMTPUTF8 is announced.",
                                             .source = "RFC 6531"};
inline constexpr Param<bool> strict_smtputf8{
    .name = "strict_smtputf8", .initial = "no", .doc = "Addresses beyond ASCII need the SMTPUTF8 parameter."};
inline constexpr Param<bool> requiretls_enable{
    .name = "requiretls_enable",
    .initial = "yes",
    .doc = "REQUIRETLS is announced inside TLS, and mail that asks for it is sent on as smtp_requiretls_policy says; no: it is as other mail.",
    .source = "RFC 8689"};
inline constexpr Param<bool> requiretls_esmtp_header{
    .name = "requiretls_esmtp_header",
    .initial = "yes",
    .doc =
        "A field Require-TLS-ESMTP: yes in the header of mail that requires TLS, which takes that through a content filter and back: whoever sends mail "
        "with it requires TLS. no: a filter before the queue has to offer REQUIRETLS, else such mail is refused."};
inline constexpr Param<std::string> smtpd_discard_ehlo_keywords{
    .name = "smtpd_discard_ehlo_keywords", .initial = "", .doc = "EHLO keywords that are not announced."};
inline constexpr Param<std::string> smtpd_discard_ehlo_keyword_address_maps{
    .name = "smtpd_discard_ehlo_keyword_address_maps",
    .initial = "",
    .doc = "Tables, indexed by client address, with keywords that are not announced to it."};
inline constexpr Param<std::string> smtpd_noop_commands{
    .name = "smtpd_noop_commands", .initial = "", .doc = "Commands that are answered with 250 and do nothing."};
inline constexpr Param<std::string> smtpd_forbidden_commands{
    .name = "smtpd_forbidden_commands", .initial = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}", .doc = "Commands that end the session at once."};
inline constexpr Param<std::string> smtpd_command_filter{
    .name = "smtpd_command_filter",
    .initial = "",
    .doc = "Tables asked with each command line, without leading white space; a result is obeyed instead."};
inline constexpr Param<std::string> smtpd_reject_filter_maps{
    .name = "smtpd_reject_filter_maps", .initial = "", .doc = "Tables asked with each 4xx and 5xx reply; a result is said instead."};
inline constexpr Param<Raw> smtpd_reject_footer{
    .name = "smtpd_reject_footer",
    .initial = "",
    .doc = "Text behind each 4xx and 5xx reply: $client_address, $client_port, $localtime, $server_name; \\c at its beginning: in the same line."};
inline constexpr Param<std::string> smtpd_reject_footer_maps{
    .name = "smtpd_reject_footer_maps", .initial = "", .doc = "Tables asked with each 4xx and 5xx reply for the footer of this one."};
inline constexpr Param<bool> smtpd_forbid_unauth_pipelining{.name = "smtpd_forbid_unauth_pipelining",
                                                            .initial = "yes",
                                                            .doc = "A client that sends ahead where RFC 2920 does not allow it is sent away.",
                                                            .source = "RFC 2920 3.1"};
inline constexpr Param<std::string> smtpd_forbid_bare_newline{
    .name = "smtpd_forbid_bare_newline", .initial = "normalize", .least = 1, .doc = "no, note, normalize or yes, reject."};
inline constexpr Param<std::string> smtpd_forbid_bare_newline_exclusions{
    .name = "smtpd_forbid_bare_newline_exclusions", .initial = "$mynetworks", .doc = "Clients that smtpd_forbid_bare_newline does not concern."};
inline constexpr Param<int> smtpd_forbid_bare_newline_reject_code{
    .name = "smtpd_forbid_bare_newline_reject_code", .initial = "550", .least = 500, .most = 599, .doc = "The code for reject."};
inline constexpr Param<bool> cleanup_replace_stray_cr_lf{
    .name = "cleanup_replace_stray_cr_lf", .initial = "yes", .doc = "A CR without LF becomes a space."};
inline constexpr Param<bool> smtpd_peername_lookup{
    .name = "smtpd_peername_lookup", .initial = "yes", .doc = "Look up the client's name and confirm it."};
inline constexpr Param<bool> smtpd_client_port_logging{.name = "smtpd_client_port_logging", .initial = "no", .doc = "Log the client's port."};
inline constexpr Param<std::string> qmqpd_authorized_clients{
    .name = "qmqpd_authorized_clients",
    .initial = "",
    .doc = "Who may hand in mail by QMQP, to anybody: hosts, domains, networks, /files and type:tables. The first that matches decides; !item: not."};
inline constexpr Param<bool> qmqpd_client_port_logging{.name = "qmqpd_client_port_logging", .initial = "no", .doc = "Log the port of a QMQP client."};
inline constexpr Param<std::chrono::seconds> qmqpd_error_delay{
    .name = "qmqpd_error_delay", .initial = "1s", .doc = "How long the QMQP server waits before it says no."};
inline constexpr Param<std::chrono::seconds> qmqpd_timeout{.name = "qmqpd_timeout",
                                                           .initial = "300s",
                                                           .least = std::chrono::seconds{1},
                                                           .doc = "How long the QMQP server waits for a client to say more, or to take the answer."};
inline constexpr Param<bool> smtpd_hide_client_session{
    .name = "smtpd_hide_client_session", .initial = "no", .doc = "Received: does not tell client name, address, HELO and TLS."};
inline constexpr Param<std::string> parent_domain_matches_subdomains{
    .name = "parent_domain_matches_subdomains",
    .initial = "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps",
    .doc = "Parameters where a domain also matches its subdomains."};
inline constexpr Param<std::string> recipient_delimiter{
    .name = "recipient_delimiter", .initial = "", .doc = "Characters between user name and extension."};
inline constexpr Param<std::string> fast_flush_domains{
    .name = "fast_flush_domains", .initial = "$relay_domains", .doc = "Domains that ETRN may name."};
inline constexpr Param<bool> soft_bounce{.name = "soft_bounce", .initial = "no", .doc = "Every 5xx reply becomes 4xx."};

inline constexpr Param<std::string> tls_server_sni_maps{
    .name = "tls_server_sni_maps",
    .initial = "",
    .doc =
        "Keys and certificates by the name that a client asks for (SNI): host, or .domain for those below it; the value as in smtpd_tls_chain_files. A table "
        "that is built is made by postmap -F, again when a file changed.",
    .source = "RFC 6066 3"};
inline constexpr Param<bool> smtpd_sasl_auth_enable{
    .name = "smtpd_sasl_auth_enable", .initial = "no", .doc = "Let clients authenticate by AUTH.", .source = "RFC 4954"};
inline constexpr Param<std::string> smtpd_sasl_type{
    .name = "smtpd_sasl_type",
    .initial = "cyrus",
    .least = 1,
    .doc = "Who knows the clients' passwords: dovecot (its auth service), or cyrus (Cyrus SASL's library with its plugins, and saslauthd)."};
inline constexpr Param<std::string> smtpd_sasl_path{
    .name = "smtpd_sasl_path",
    .initial = "smtpd",
    .least = 1,
    .doc =
        "Where Dovecot's auth service is: a socket below the queue directory (private/auth), unix:path, inet:host:port. For cyrus: the name of its file of "
        "options, without .conf."};
inline constexpr Param<std::string> smtpd_sasl_service{
    .name = "smtpd_sasl_service", .initial = "smtp", .least = 1, .doc = "The service's name that Dovecot or Cyrus SASL is told."};
inline constexpr Param<std::string> smtpd_sasl_security_options{
    .name = "smtpd_sasl_security_options",
    .initial = "noanonymous",
    .doc = "What mechanisms must be that are offered in clear: noplaintext, noactive, nodictionary, noanonymous, forward_secrecy, mutual_auth."};
inline constexpr Param<std::string> smtpd_sasl_tls_security_options{
    .name = "smtpd_sasl_tls_security_options", .initial = "$smtpd_sasl_security_options", .doc = "The same under TLS."};
inline constexpr Param<std::string> smtpd_sasl_mechanism_filter{.name = "smtpd_sasl_mechanism_filter",
                                                                .initial = "!external, static:rest",
                                                                .doc = "Which mechanisms may be offered: names, !names, tables; empty: all."};
inline constexpr Param<std::string> smtpd_sasl_exceptions_networks{
    .name = "smtpd_sasl_exceptions_networks", .initial = "", .doc = "Clients that AUTH is not offered to: some insist on it then."};
inline constexpr Param<std::string> smtpd_sasl_local_domain{
    .name = "smtpd_sasl_local_domain",
    .initial = "",
    .doc = "The realm of a login without one, for cyrus; empty: $myhostname. Dovecot decides about realms itself."};
inline constexpr Param<std::string> cyrus_sasl_config_path{
    .name = "cyrus_sasl_config_path",
    .initial = "",
    .doc = "Folders, by colons, where smtpd_sasl_type = cyrus finds the file that smtpd_sasl_path names (smtpd.conf); empty: sasl beside main.cf, "
           "/etc/sasl2, /usr/lib/sasl2, /usr/lib64/sasl2."};
inline constexpr Param<bool> smtpd_sasl_authenticated_header{
    .name = "smtpd_sasl_authenticated_header", .initial = "no", .doc = "Received: names the login."};
inline constexpr Param<int> smtpd_sasl_response_limit{
    .name = "smtpd_sasl_response_limit", .initial = "12288", .least = 0, .doc = "Octets of one response of a client.", .source = "RFC 4954 4"};
inline constexpr Param<bool> broken_sasl_auth_clients{
    .name = "broken_sasl_auth_clients", .initial = "no", .doc = "Offer AUTH=PLAIN as well, for clients of old."};
inline constexpr Param<bool> smtpd_tls_auth_only{
    .name = "smtpd_tls_auth_only", .initial = "no", .doc = "Neither offer AUTH nor take it without TLS."};
inline constexpr Param<std::string> relay_clientcerts{
    .name = "relay_clientcerts", .initial = "", .doc = "Tables with fingerprints of client certificates that permit_tls_clientcerts permits."};

inline constexpr Param<int> smtpd_client_connection_count_limit{
    .name = "smtpd_client_connection_count_limit", .initial = "50", .least = 0, .doc = "Connections that a client may have at a time; 0: no limit."};
inline constexpr Param<int> smtpd_client_connection_rate_limit{.name = "smtpd_client_connection_rate_limit",
                                                               .initial = "0",
                                                               .least = 0,
                                                               .doc = "Connections of a client within anvil_rate_time_unit; 0: no limit."};
inline constexpr Param<int> smtpd_client_message_rate_limit{.name = "smtpd_client_message_rate_limit",
                                                            .initial = "0",
                                                            .least = 0,
                                                            .doc = "MAIL commands of a client within anvil_rate_time_unit; 0: no limit."};
inline constexpr Param<int> smtpd_client_recipient_rate_limit{.name = "smtpd_client_recipient_rate_limit",
                                                              .initial = "0",
                                                              .least = 0,
                                                              .doc = "RCPT commands of a client within anvil_rate_time_unit; 0: no limit."};
inline constexpr Param<int> smtpd_client_new_tls_session_rate_limit{
    .name = "smtpd_client_new_tls_session_rate_limit",
    .initial = "0",
    .least = 0,
    .doc = "TLS sessions of a client within anvil_rate_time_unit that resume no earlier one; 0: no limit."};
inline constexpr Param<int> smtpd_client_auth_rate_limit{.name = "smtpd_client_auth_rate_limit",
                                                         .initial = "0",
                                                         .least = 0,
                                                         .doc =
                                                             "AUTH commands of a client within anvil_rate_time_unit, accepted or not; 0: no limit."};
inline constexpr Param<std::string> smtpd_dns_reply_filter{
    .name = "smtpd_dns_reply_filter",
    .initial = "",
    .doc = "Tables asked with each record that a restriction looks up, as \"name. ttl IN type value\": IGNORE leaves it out."};
inline constexpr Param<std::string> smtpd_client_event_limit_exceptions{.name = "smtpd_client_event_limit_exceptions",
                                                                        .initial = "${smtpd_client_connection_limit_exceptions:$mynetworks}",
                                                                        .doc = "Clients that the smtpd_client_*_limit do not hold."};
inline constexpr Param<int> smtpd_client_ipv4_prefix_length{
    .name = "smtpd_client_ipv4_prefix_length", .initial = "32", .doc = "IPv4 addresses of one such network count as one client."};
inline constexpr Param<int> smtpd_client_ipv6_prefix_length{
    .name = "smtpd_client_ipv6_prefix_length", .initial = "84", .doc = "IPv6 addresses of one such network count as one client."};

inline constexpr Param<std::string> smtpd_tls_security_level{
    .name = "smtpd_tls_security_level", .initial = "", .doc = "none, may or encrypt; empty: the older parameters decide."};
inline constexpr Param<bool> smtpd_use_tls{
    .name = "smtpd_use_tls", .initial = "no", .doc = "STARTTLS is announced.", .obsolete = "smtpd_tls_security_level"};
inline constexpr Param<bool> smtpd_enforce_tls{
    .name = "smtpd_enforce_tls", .initial = "no", .doc = "STARTTLS is demanded.", .obsolete = "smtpd_tls_security_level"};
inline constexpr Param<bool> smtpd_tls_wrappermode{.name = "smtpd_tls_wrappermode", .initial = "no", .doc = "TLS from the first octet (port 465)."};
inline constexpr Param<bool> smtpd_tls_received_header{
    .name = "smtpd_tls_received_header", .initial = "no", .doc = "Received: tells protocol and cipher."};
inline constexpr Param<std::string> smtpd_tls_loglevel{.name = "smtpd_tls_loglevel", .initial = "0", .doc = "1: log one line per TLS session."};

inline constexpr Param<int> smtpd_idle_session_limit{.name = "smtpd_idle_session_limit",
                                                     .initial = "10000",
                                                     .least = 1,
                                                     .doc = "Sessions of a process. Beyond it the one that was idle longest gets 421.",
                                                     .own = true};
inline constexpr Param<Octets> smtpd_memory_limit{
    .name = "smtpd_memory_limit",
    .initial = "268435456",
    .least = Octets{1 << 20},
    .doc = "The memory that sessions and content of a process may hold. Beyond it content gets 452 4.3.1 and new clients 421 4.3.2.",
    .own = true};
inline constexpr Param<bool> smtpd_delay_open_until_valid_rcpt{
    .name = "smtpd_delay_open_until_valid_rcpt",
    .initial = "yes",
    .doc =
        "A message has its queue id with its first valid recipient; no: with MAIL, so that what is refused behind it is logged with that id, and not with "
        "NOQUEUE. Nothing is stored before it is whole either way."};
inline constexpr Param<bool> smtpd_log_abort_queue_id{
    .name = "smtpd_log_abort_queue_id",
    .initial = "no",
    .doc = "Queue id or NOQUEUE before \"lost connection\", \"timeout\" and \"too many errors\", as Postfix does since 3.10. Filters of "
           "fail2ban up to 1.1 find those lines only without.",
    .own = true};

inline constexpr Param<std::string> smtpd_pipe_connect_hosts{
    .name = "smtpd_pipe_connect_hosts",
    .initial = "",
    .doc = "Clients that may speak before the greeting, and are told so by PIPECONNECT in the reply to EHLO. Names, addresses, networks, "
           "tables as in mynetworks; static:all: everybody. All others are held to wait. "
           "Clients remember the offer, exim4 for a week, and are refused once where it has gone: to withdraw it, discard the keyword first "
           "(smtpd_discard_ehlo_keywords = pipeconnect), and the list a week later.",
    .own = true};
inline constexpr Param<int> smtpd_session_mail_limit{
    .name = "smtpd_session_mail_limit",
    .initial = "0",
    .least = 0,
    .doc = "Messages per session, then MAIL FROM gets 421; 0: no limit. Announced in the reply to EHLO (LIMITS MAILMAX), as a "
           "smtpd_recipient_limit below the default is (RCPTMAX).",
    .source = "RFC 9422",
    .own = true};

inline constexpr ParamInfo params[] = {
    myhostname,
    mail_name,
    smtpd_banner,
    stress,
    smtpd_timeout,
    smtpd_starttls_timeout,
    smtpd_per_request_deadline,
    smtpd_min_data_rate,
    receive_override_options,
    cleanup_service_name,
    smtpd_authorized_xclient_hosts,
    smtpd_authorized_xforward_hosts,
    smtpd_proxy_filter,
    smtpd_proxy_options,
    smtpd_proxy_ehlo,
    smtpd_proxy_timeout,
    smtpd_upstream_proxy_protocol,
    smtpd_upstream_proxy_timeout,
    content_filter,
    line_length_limit,
    message_size_limit,
    queue_minfree,
    default_verp_delimiters,
    verp_delimiter_filter,
    smtpd_authorized_verp_clients,
    smtpd_future_release_limit,
    smtpd_future_release_clients,
    smtpd_delivery_answer_domains,
    smtpd_delivery_answer_time_limit,
    smtpd_recipient_limit,
    smtpd_recipient_overshoot_limit,
    smtpd_soft_error_limit,
    smtpd_hard_error_limit,
    smtpd_error_sleep_time,
    smtpd_junk_command_limit,
    smtpd_helo_required,
    smtpd_delay_reject,
    disable_vrfy_command,
    strict_rfc821_envelopes,
    smtputf8_enable,
    strict_smtputf8,
    requiretls_enable,
    requiretls_esmtp_header,
    smtpd_discard_ehlo_keywords,
    smtpd_discard_ehlo_keyword_address_maps,
    smtpd_noop_commands,
    smtpd_forbidden_commands,
    smtpd_command_filter,
    smtpd_reject_filter_maps,
    smtpd_reject_footer,
    smtpd_reject_footer_maps,
    smtpd_forbid_unauth_pipelining,
    smtpd_forbid_bare_newline,
    smtpd_forbid_bare_newline_exclusions,
    smtpd_forbid_bare_newline_reject_code,
    cleanup_replace_stray_cr_lf,
    smtpd_peername_lookup,
    smtpd_client_port_logging,
    qmqpd_authorized_clients,
    qmqpd_client_port_logging,
    qmqpd_error_delay,
    qmqpd_timeout,
    smtpd_hide_client_session,
    parent_domain_matches_subdomains,
    recipient_delimiter,
    fast_flush_domains,
    soft_bounce,
    smtpd_client_restrictions,
    smtpd_helo_restrictions,
    smtpd_sender_restrictions,
    smtpd_relay_restrictions,
    smtpd_recipient_restrictions,
    smtpd_data_restrictions,
    smtpd_end_of_data_restrictions,
    smtpd_etrn_restrictions,
    smtpd_restriction_classes,
    smtpd_relay_before_recipient_restrictions,
    smtpd_reject_unlisted_recipient,
    smtpd_reject_unlisted_sender,
    smtpd_null_access_lookup_key,
    smtpd_log_access_permit_actions,
    show_user_unknown_table_name,
    access_map_reject_code,
    access_map_defer_code,
    defer_code,
    reject_code,
    invalid_hostname_reject_code,
    non_fqdn_reject_code,
    relay_domains_reject_code,
    unknown_address_reject_code,
    unknown_client_reject_code,
    unknown_hostname_reject_code,
    multi_recipient_bounce_reject_code,
    plaintext_reject_code,
    unknown_local_recipient_reject_code,
    unknown_relay_recipient_reject_code,
    unknown_virtual_alias_reject_code,
    unknown_virtual_mailbox_reject_code,
    unknown_address_tempfail_action,
    unknown_helo_hostname_tempfail_action,
    unverified_recipient_reject_code,
    unverified_recipient_defer_code,
    unverified_recipient_reject_reason,
    unverified_recipient_tempfail_action,
    unverified_sender_reject_code,
    unverified_sender_defer_code,
    unverified_sender_reject_reason,
    unverified_sender_tempfail_action,
    address_verify_poll_count,
    address_verify_poll_delay,
    smtpd_policy_service_timeout,
    smtpd_policy_service_max_idle,
    smtpd_policy_service_max_ttl,
    smtpd_policy_service_request_limit,
    smtpd_policy_service_try_limit,
    smtpd_policy_service_retry_delay,
    smtpd_policy_service_default_action,
    smtpd_policy_service_policy_context,
    default_rbl_reply,
    smtpd_expansion_filter,
    rbl_reply_maps,
    maps_rbl_reject_code,
    maps_rbl_domains,
    permit_mx_backup_networks,
    tls_server_sni_maps,
    smtpd_sasl_auth_enable,
    smtpd_sasl_type,
    smtpd_sasl_path,
    smtpd_sasl_service,
    smtpd_sasl_security_options,
    smtpd_sasl_tls_security_options,
    smtpd_sasl_mechanism_filter,
    smtpd_sasl_exceptions_networks,
    cyrus_sasl_config_path,
    smtpd_sasl_local_domain,
    smtpd_sasl_authenticated_header,
    smtpd_sasl_response_limit,
    broken_sasl_auth_clients,
    smtpd_tls_auth_only,
    smtpd_sender_login_maps,
    allow_untrusted_routing,
    relay_clientcerts,
    smtpd_client_connection_count_limit,
    smtpd_client_connection_rate_limit,
    smtpd_client_message_rate_limit,
    smtpd_client_recipient_rate_limit,
    smtpd_client_new_tls_session_rate_limit,
    smtpd_client_auth_rate_limit,
    smtpd_dns_reply_filter,
    smtpd_client_event_limit_exceptions,
    smtpd_client_ipv4_prefix_length,
    smtpd_client_ipv6_prefix_length,
    smtpd_tls_security_level,
    smtpd_use_tls,
    smtpd_enforce_tls,
    smtpd_tls_wrappermode,
    smtpd_tls_received_header,
    smtpd_tls_loglevel,
    smtpd_idle_session_limit,
    smtpd_memory_limit,
    smtpd_log_abort_queue_id,
    smtpd_delay_open_until_valid_rcpt,
    smtpd_pipe_connect_hosts,
    smtpd_session_mail_limit,
    screen::smtpd_screen_clients,
    screen::smtpd_screen_memory_limit,
    screen::respectful_logging,
    screen::postscreen_access_list,
    screen::postscreen_denylist_action,
    screen::postscreen_allowlist_interfaces,
    screen::postscreen_greet_wait,
    screen::postscreen_greet_banner,
    screen::postscreen_greet_action,
    screen::postscreen_greet_ttl,
    screen::postscreen_dnsbl_sites,
    screen::postscreen_dnsbl_threshold,
    screen::postscreen_dnsbl_allowlist_threshold,
    screen::postscreen_dnsbl_action,
    screen::postscreen_dnsbl_reply_map,
    screen::postscreen_dnsbl_timeout,
    screen::postscreen_dnsbl_min_ttl,
    screen::postscreen_dnsbl_max_ttl,
    screen::postscreen_cache_map,
    screen::postscreen_cache_retention_time,
    screen::postscreen_cache_cleanup_interval,
    screen::postscreen_command_count_limit,
    screen::postscreen_command_time_limit,
    screen::postscreen_helo_required,
    screen::postscreen_disable_vrfy_command,
    screen::postscreen_discard_ehlo_keywords,
    screen::postscreen_forbidden_commands,
    screen::postscreen_discard_ehlo_keyword_address_maps,
    screen::postscreen_command_filter,
    screen::postscreen_reject_footer,
    screen::postscreen_reject_footer_maps,
    screen::postscreen_pipelining_enable,
    screen::postscreen_pipelining_action,
    screen::postscreen_pipelining_ttl,
    screen::postscreen_non_smtp_command_enable,
    screen::postscreen_non_smtp_command_action,
    screen::postscreen_non_smtp_command_ttl,
    screen::postscreen_bare_newline_enable,
    screen::postscreen_bare_newline_action,
    screen::postscreen_bare_newline_ttl,
    screen::postscreen_client_connection_count_limit,
    screen::postscreen_pre_queue_limit,
    screen::postscreen_upstream_proxy_protocol,
    screen::postscreen_upstream_proxy_timeout,
};

}  // namespace posthorn::receive
