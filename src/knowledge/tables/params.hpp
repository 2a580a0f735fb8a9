// tables/params.hpp: parameters that several stations ask with: whose domains are ours, how addresses are taken apart.
#pragma once

#include "config/param.hpp"

namespace posthorn::tables {

using config::Param;
using config::ParamInfo;

inline constexpr Param<std::string> recipient_delimiter{
    .name = "recipient_delimiter",
    .initial = "",
    .doc = "The characters that separate a user from an address extension (user+foo); the first that occurs separates."};
inline constexpr Param<bool> owner_request_special{
    .name = "owner_request_special", .initial = "yes", .doc = "Keep owner-list and list-request whole where recipient_delimiter has '-'."};
inline constexpr Param<std::string> double_bounce_sender{.name = "double_bounce_sender",
                                                         .initial = "double-bounce",
                                                         .least = 1,
                                                         .doc = "The sender of mail that must never bounce; such an address is never taken apart."};
inline constexpr Param<std::string> parent_domain_matches_subdomains{
    .name = "parent_domain_matches_subdomains",
    .initial = "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps",
    .doc = "The parameters in whose lists \"example.com\" also means its subdomains; in others that is \".example.com\"."};
inline constexpr Param<std::string> mydestination{.name = "mydestination",
                                                  .initial = "$myhostname, localhost.$mydomain, localhost",
                                                  .doc = "The domains whose mail ends on this machine, by local_transport."};
inline constexpr Param<std::string> myorigin{.name = "myorigin",
                                             .initial = "$myhostname",
                                             .least = 1,
                                             .doc = "The domain that is added to addresses without one; a /file names it in its first line."};
inline constexpr Param<std::string> proxy_interfaces{
    .name = "proxy_interfaces",
    .initial = "",
    .doc = "Addresses of a proxy or address translator in front of this machine: mail for [address] is ours."};
inline constexpr Param<std::string> virtual_alias_maps{
    .name = "virtual_alias_maps", .initial = "$virtual_maps", .doc = "Tables that send mail for an address to one or more others, local or remote."};
inline constexpr Param<std::string> canonical_maps{
    .name = "canonical_maps", .initial = "", .doc = "Tables that rewrite addresses in header and envelope; an address they have exists."};
inline constexpr Param<std::string> recipient_canonical_maps{
    .name = "recipient_canonical_maps", .initial = "", .doc = "Tables that rewrite recipient addresses; an address they have exists."};
inline constexpr Param<std::string> propagate_unmatched_extensions{
    .name = "propagate_unmatched_extensions",
    .initial = "canonical, virtual",
    .doc = "Where an address extension that the looked-up key did not have is added to the result."};
inline constexpr Param<bool> smtputf8_enable{.name = "smtputf8_enable",
                                             .initial = "${{$compatibility_level} <level {1} ? {no} : {yes}}",
                                             .doc = "Internationalised mail: tables and addresses are UTF-8.",
                                             .source = "RFC 6531"};
inline constexpr Param<std::string> mynetworks{.name = "mynetworks", .initial = "", .doc = "The clients that are trusted to send mail anywhere."};
inline constexpr Param<bool> allow_percent_hack{
    .name = "allow_percent_hack", .initial = "yes", .doc = "Read user%domain as user@domain where the domain behind it is ours."};
inline constexpr Param<bool> swap_bangpath{
    .name = "swap_bangpath", .initial = "yes", .doc = "Read site!user as user@site where the domain behind it is ours."};

inline constexpr Param<std::string> debug_peer_list{
    .name = "debug_peer_list",
    .initial = "",
    .doc = "Hosts, domains, networks, /files and type:tables: whose sessions are logged line by line, without content."};
inline constexpr Param<int> debug_peer_level{
    .name = "debug_peer_level",
    .initial = "2",
    .least = 1,
    .doc = "How much more is logged of the sessions of debug_peer_list. Every level logs what is said and heard."};

inline constexpr Param<int> socketmap_max_query_size{
    .name = "socketmap_max_query_size",
    .initial = "10000",
    .least = 1,
    .doc = "Octets of a question to a socketmap server, the map's name and a blank among them; a longer one is not asked, and what needs it waits."};
inline constexpr Param<int> socketmap_max_reply_size{
    .name = "socketmap_max_reply_size",
    .initial = "100000",
    .least = 1,
    .doc = "Octets of an answer of a socketmap server; a longer one ends the connection, and what needs it waits."};

inline constexpr ParamInfo params[] = {socketmap_max_query_size,
                                       socketmap_max_reply_size,
                                       recipient_delimiter,
                                       owner_request_special,
                                       double_bounce_sender,
                                       parent_domain_matches_subdomains,
                                       mydestination,
                                       myorigin,
                                       proxy_interfaces,
                                       virtual_alias_maps,
                                       canonical_maps,
                                       recipient_canonical_maps,
                                       propagate_unmatched_extensions,
                                       smtputf8_enable,
                                       mynetworks,
                                       allow_percent_hack,
                                       swap_bangpath,
                                       debug_peer_list,
                                       debug_peer_level};

}  // namespace posthorn::tables
