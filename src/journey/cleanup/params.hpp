// cleanup/params.hpp: how what is received is repaired and rewritten.        cleanup(8), ADDRESS_REWRITING_README
#pragma once

#include "config/param.hpp"

namespace posthorn::cleanup {

using config::Param;
using config::ParamInfo;

inline constexpr Param<bool> always_add_missing_headers{
    .name = "always_add_missing_headers",
    .initial = "no",
    .doc = "Add missing From, To, Date and Message-ID to mail of all clients, not only of local_header_rewrite_clients."};
inline constexpr Param<std::string> message_drop_headers{.name = "message_drop_headers",
                                                         .initial = "bcc, content-length, resent-bcc, return-path",
                                                         .doc = "Header fields that are taken out of every message."};
inline constexpr Param<std::string> undisclosed_recipients_header{
    .name = "undisclosed_recipients_header", .initial = "", .doc = "The field that is added where there is neither To nor Cc; empty: none."};
inline constexpr Param<std::string> local_header_rewrite_clients{
    .name = "local_header_rewrite_clients",
    .initial = "permit_inet_interfaces",
    .doc = "The clients whose incomplete header addresses are completed with myorigin and mydomain, and whose headers are repaired."};
inline constexpr Param<std::string> remote_header_rewrite_domain{
    .name = "remote_header_rewrite_domain",
    .initial = "",
    .doc = "The domain that completes header addresses of all other clients; empty: they are left alone."};
inline constexpr Param<bool> append_at_myorigin{.name = "append_at_myorigin", .initial = "yes", .doc = "Complete \"user\" to user@myorigin."};
inline constexpr Param<bool> append_dot_mydomain{.name = "append_dot_mydomain",
                                                 .initial = "${{$compatibility_level} <level {1} ? {yes} : {no}}",
                                                 .doc = "Complete user@host to user@host.mydomain."};
inline constexpr Param<int> hopcount_limit{
    .name = "hopcount_limit", .initial = "50", .least = 1, .doc = "As many Received: fields mean a loop.", .source = "RFC 5321 6.3"};
inline constexpr Param<int> header_size_limit{
    .name = "header_size_limit", .initial = "102400", .least = 1, .doc = "Octets of one header field; what is beyond is cut off."};
inline constexpr Param<int> header_address_token_limit{.name = "header_address_token_limit",
                                                       .initial = "10240",
                                                       .least = 1,
                                                       .doc = "Words and addresses in one field that are looked at; those beyond stay as they are."};
inline constexpr Param<int> virtual_alias_expansion_limit{
    .name = "virtual_alias_expansion_limit", .initial = "1000", .least = 1, .doc = "Addresses that one recipient may become."};
inline constexpr Param<int> virtual_alias_recursion_limit{
    .name = "virtual_alias_recursion_limit", .initial = "1000", .least = 1, .doc = "How deep aliases of aliases may go."};
inline constexpr Param<int> virtual_alias_address_length_limit{
    .name = "virtual_alias_address_length_limit", .initial = "1000", .least = 1, .doc = "Octets of an address that an alias gives."};
inline constexpr Param<bool> enable_original_recipient{
    .name = "enable_original_recipient", .initial = "yes", .doc = "Keep recipients apart that became the same address from different ones."};
inline constexpr Param<std::string> smtputf8_autodetect_classes{
    .name = "smtputf8_autodetect_classes",
    .initial = "sendmail, verify",
    .least = 1,
    .doc = "Where mail may need SMTPUTF8 without having asked for it: sendmail, smtpd, verify, bounce, notify, all ...",
    .source = "RFC 6531"};

inline constexpr ParamInfo params[] = {always_add_missing_headers,
                                       message_drop_headers,
                                       undisclosed_recipients_header,
                                       local_header_rewrite_clients,
                                       remote_header_rewrite_domain,
                                       append_at_myorigin,
                                       append_dot_mydomain,
                                       hopcount_limit,
                                       header_size_limit,
                                       header_address_token_limit,
                                       virtual_alias_expansion_limit,
                                       virtual_alias_recursion_limit,
                                       virtual_alias_address_length_limit,
                                       enable_original_recipient,
                                       smtputf8_autodetect_classes};

}  // namespace posthorn::cleanup
