// receive/screen/params.hpp: the parameters of the tests before the greeting. Defaults are those of Postfix 3.11's postscreen; `own` ones Posthorn's.
// Their place in the catalogue is receive/params.hpp's, which has the list of all.
#pragma once

#include "config/param.hpp"

#include <array>

namespace posthorn::receive::screen {

/// What a client that fails a test is in for.
enum class Act : std::uint8_t { ignore, enforce, drop };

}  // namespace posthorn::receive::screen

namespace posthorn::config {
template <>
inline constexpr auto words<posthorn::receive::screen::Act> =
    std::to_array<Word<posthorn::receive::screen::Act>>({{"ignore", posthorn::receive::screen::Act::ignore},
                                                         {"enforce", posthorn::receive::screen::Act::enforce},
                                                         {"drop", posthorn::receive::screen::Act::drop}});
}  // namespace posthorn::config

namespace posthorn::receive::screen {

using config::Param;
using std::chrono::seconds;

inline constexpr Param<bool> smtpd_screen_clients{
    .name = "smtpd_screen_clients",
    .initial = "no",
    .doc = "Clients are tested before the greeting, by postscreen_*. A line postscreen of master.cf sets it.",
    .own = true};
inline constexpr Param<int> smtpd_screen_memory_limit{
    .name = "smtpd_screen_memory_limit",
    .initial = "200000",
    .least = 1,
    .doc = "How many clients that passed the tests are known; beyond it, those that are first to be tested anew are forgotten.",
    .own = true};
inline constexpr Param<bool> respectful_logging{.name = "respectful_logging",
                                                .initial = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}",
                                                .doc = "The tests before the greeting log ALLOWLISTED and DENYLISTED; no: the words of old."};
inline constexpr Param<std::string> postscreen_access_list{
    .name = "postscreen_access_list",
    .initial = "permit_mynetworks",
    .doc = "Clients that are not tested, or have failed: permit, reject, dunno, permit_mynetworks, and tables of addresses with these."};
inline constexpr Param<Act> postscreen_denylist_action{
    .name = "postscreen_denylist_action",
    .initial = "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}",
    .doc = "What becomes of a client that postscreen_access_list rejects: ignore, enforce (no recipient is taken), drop."};
inline constexpr Param<std::string> postscreen_allowlist_interfaces{
    .name = "postscreen_allowlist_interfaces",
    .initial = "${postscreen_whitelist_interfaces?{$postscreen_whitelist_interfaces}:{static:all}}",
    .doc = "Addresses of this host where a client that passes the tests is remembered; elsewhere (a backup MX) it is not."};
inline constexpr Param<seconds> postscreen_greet_wait{.name = "postscreen_greet_wait",
                                                      .initial = "${stress?{2}:{6}}s",
                                                      .least = seconds{1},
                                                      .doc = "How long a client is kept waiting for the greeting."};
inline constexpr Param<std::string> postscreen_greet_banner{
    .name = "postscreen_greet_banner", .initial = "$smtpd_banner", .doc = "The first line of the greeting, said before that wait; empty: none."};
inline constexpr Param<Act> postscreen_greet_action{.name = "postscreen_greet_action",
                                                    .initial = "ignore",
                                                    .doc = "What becomes of a client that speaks before the greeting: ignore, enforce, drop."};
inline constexpr Param<seconds> postscreen_greet_ttl{
    .name = "postscreen_greet_ttl", .initial = "1d", .least = seconds{1}, .doc = "How long it counts that a client waited for the greeting."};
inline constexpr Param<std::string> postscreen_dnsbl_sites{
    .name = "postscreen_dnsbl_sites",
    .initial = "",
    .doc = "Lists in the DNS that clients are looked up in: domain, =d.d.d.d of the answers that count, *weight."};
inline constexpr Param<int> postscreen_dnsbl_threshold{
    .name = "postscreen_dnsbl_threshold", .initial = "1", .least = 1, .doc = "The sum of weights at which a client fails."};
inline constexpr Param<int> postscreen_dnsbl_allowlist_threshold{
    .name = "postscreen_dnsbl_allowlist_threshold",
    .initial = "${postscreen_dnsbl_whitelist_threshold?{$postscreen_dnsbl_whitelist_threshold}:{0}}",
    .least = -2147483647,
    .doc = "Below zero: the sum of weights at which a client passes all other tests as well. 0: there is none."};
inline constexpr Param<Act> postscreen_dnsbl_action{
    .name = "postscreen_dnsbl_action", .initial = "ignore", .doc = "What becomes of a client with such a sum: ignore, enforce, drop."};
inline constexpr Param<std::string> postscreen_dnsbl_reply_map{
    .name = "postscreen_dnsbl_reply_map", .initial = "", .doc = "A table from the domain of a list to what a client is told instead."};
inline constexpr Param<seconds> postscreen_dnsbl_timeout{
    .name = "postscreen_dnsbl_timeout", .initial = "10s", .least = seconds{1}, .doc = "How long the lists in the DNS may take."};
inline constexpr Param<seconds> postscreen_dnsbl_min_ttl{.name = "postscreen_dnsbl_min_ttl",
                                                         .initial = "60s",
                                                         .least = seconds{1},
                                                         .doc = "The least time that the answers of the lists count, whatever these say."};
inline constexpr Param<seconds> postscreen_dnsbl_max_ttl{.name = "postscreen_dnsbl_max_ttl",
                                                         .initial = "${postscreen_dnsbl_ttl?{$postscreen_dnsbl_ttl}:{1}}h",
                                                         .least = seconds{1},
                                                         .doc = "The longest time that the answers of the lists count."};
inline constexpr Param<std::string> postscreen_cache_map{
    .name = "postscreen_cache_map",
    .initial = "$default_cache_db_type:$data_directory/postscreen_cache",
    .doc = "Where it is kept who passed the tests: for all processes, beyond a restart. Empty: in memory alone."};
inline constexpr Param<seconds> postscreen_cache_retention_time{
    .name = "postscreen_cache_retention_time",
    .initial = "7d",
    .least = seconds{1},
    .doc = "How long a client is known as an old one after its tests have lost their value."};
inline constexpr Param<seconds> postscreen_cache_cleanup_interval{
    .name = "postscreen_cache_cleanup_interval", .initial = "12h", .doc = "How often clients are forgotten; 0: only where there are too many."};
inline constexpr Param<int> postscreen_command_count_limit{
    .name = "postscreen_command_count_limit", .initial = "20", .least = 1, .doc = "How many commands a client that failed may say."};
inline constexpr Param<seconds> postscreen_command_time_limit{.name = "postscreen_command_time_limit",
                                                              .initial = "${stress?{10}:{300}}s",
                                                              .least = seconds{1},
                                                              .doc = "How long such a client may take for a command."};
inline constexpr Param<bool> postscreen_helo_required{
    .name = "postscreen_helo_required", .initial = "$smtpd_helo_required", .doc = "Such a client has to say HELO or EHLO before MAIL."};
inline constexpr Param<bool> postscreen_disable_vrfy_command{
    .name = "postscreen_disable_vrfy_command", .initial = "$disable_vrfy_command", .doc = "To such a client VRFY is refused."};
inline constexpr Param<std::string> postscreen_discard_ehlo_keywords{
    .name = "postscreen_discard_ehlo_keywords", .initial = "$smtpd_discard_ehlo_keywords", .doc = "EHLO keywords that such a client is not told."};
inline constexpr Param<std::string> postscreen_discard_ehlo_keyword_address_maps{.name = "postscreen_discard_ehlo_keyword_address_maps",
                                                                                 .initial = "$smtpd_discard_ehlo_keyword_address_maps",
                                                                                 .doc = "The same by the client's address, in place of it."};
inline constexpr Param<std::string> postscreen_command_filter{
    .name = "postscreen_command_filter", .initial = "", .doc = "Tables that change what such a client says: asked with the whole line."};
inline constexpr Param<config::Raw> postscreen_reject_footer{
    .name = "postscreen_reject_footer", .initial = "$smtpd_reject_footer", .doc = "What stands behind each 4xx and 5xx reply to such a client."};
inline constexpr Param<std::string> postscreen_reject_footer_maps{.name = "postscreen_reject_footer_maps",
                                                                  .initial = "$smtpd_reject_footer_maps",
                                                                  .doc = "Tables asked with each of these replies for its footer."};
inline constexpr Param<std::string> postscreen_forbidden_commands{
    .name = "postscreen_forbidden_commands", .initial = "$smtpd_forbidden_commands", .doc = "Commands of such a client that are logged as no SMTP."};
inline constexpr Param<bool> postscreen_pipelining_enable{
    .name = "postscreen_pipelining_enable", .initial = "no", .doc = "Clients are tested for waiting for replies; who passes has to come again."};
inline constexpr Param<Act> postscreen_pipelining_action{
    .name = "postscreen_pipelining_action", .initial = "enforce", .doc = "What becomes of a client that does not wait: ignore, enforce, drop."};
inline constexpr Param<seconds> postscreen_pipelining_ttl{
    .name = "postscreen_pipelining_ttl", .initial = "30d", .least = seconds{1}, .doc = "How long it counts that a client waited for replies."};
inline constexpr Param<bool> postscreen_non_smtp_command_enable{
    .name = "postscreen_non_smtp_command_enable", .initial = "no", .doc = "Clients are tested for commands of other protocols, in the same way."};
inline constexpr Param<Act> postscreen_non_smtp_command_action{
    .name = "postscreen_non_smtp_command_action", .initial = "drop", .doc = "What becomes of a client that says such: ignore, enforce, drop."};
inline constexpr Param<seconds> postscreen_non_smtp_command_ttl{
    .name = "postscreen_non_smtp_command_ttl", .initial = "30d", .least = seconds{1}, .doc = "How long it counts that a client said none."};
inline constexpr Param<bool> postscreen_bare_newline_enable{
    .name = "postscreen_bare_newline_enable", .initial = "no", .doc = "Clients are tested for lines that end in a bare newline, in the same way."};
inline constexpr Param<Act> postscreen_bare_newline_action{
    .name = "postscreen_bare_newline_action", .initial = "ignore", .doc = "What becomes of a client that ends lines so: ignore, enforce, drop."};
inline constexpr Param<seconds> postscreen_bare_newline_ttl{
    .name = "postscreen_bare_newline_ttl", .initial = "30d", .least = seconds{1}, .doc = "How long it counts that a client ended none so."};
inline constexpr Param<int> postscreen_client_connection_count_limit{.name = "postscreen_client_connection_count_limit",
                                                                     .initial = "$smtpd_client_connection_count_limit",
                                                                     .doc = "How many connections of one client may be before the greeting; 0: any."};
inline constexpr Param<int> postscreen_pre_queue_limit{
    .name = "postscreen_pre_queue_limit", .initial = "$default_process_limit", .least = 10, .doc = "How many clients may be before the greeting."};
inline constexpr Param<std::string> postscreen_upstream_proxy_protocol{
    .name = "postscreen_upstream_proxy_protocol", .initial = "", .doc = "haproxy: who the client is, is said by the balancer before it."};
inline constexpr Param<seconds> postscreen_upstream_proxy_timeout{
    .name = "postscreen_upstream_proxy_timeout", .initial = "5s", .least = seconds{1}, .doc = "How long the balancer may take for that."};

}  // namespace posthorn::receive::screen
