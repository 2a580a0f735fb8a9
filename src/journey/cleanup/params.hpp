// cleanup/params.hpp: how what is received is repaired and rewritten.        cleanup(8), ADDRESS_REWRITING_README
#pragma once

#include "config/param.hpp"

namespace posthorn::cleanup {

using config::Param;
using config::ParamInfo;

inline constexpr Param<std::string> header_from_format{
    .name = "header_from_format",
    .initial = "standard",
    .least = 1,
    .doc = "How a From: that is added shows the name: standard, Name <address>; obsolete, address (Name)."};
inline constexpr Param<std::string> full_name_encoding_charset{
    .name = "full_name_encoding_charset",
    .initial = "utf-8",
    .least = 1,
    .doc =
        "The character set of full names (sendmail -F, NAME, the account), which is said where a From: that is added has to encode one; utf-8 stays as "
        "it is in SMTPUTF8 mail.",
    .source = "RFC 2047"};
inline constexpr Param<std::string> non_empty_end_of_header_action{
    .name = "non_empty_end_of_header_action",
    .initial = "fix_quietly",
    .least = 1,
    .doc =
        "What becomes of a message whose header ends at a line that is neither a field nor empty: fix_quietly, an empty line goes before it; add_header, "
        "and a field MIME-Error: before that; reject."};
inline constexpr Param<bool> always_add_missing_headers{
    .name = "always_add_missing_headers",
    .initial = "no",
    .doc = "Add missing From, To, Date and Message-ID to mail of all clients, not only of local_header_rewrite_clients, or where "
           "remote_header_rewrite_domain is set."};
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

inline constexpr Param<bool> tls_required_enable{
    .name = "tls_required_enable",
    .initial = "yes",
    .doc = "Mail with the field TLS-Required: no, and that does not require TLS by its envelope, is sent whatever TLS the recipient's domain or "
           "smtp_tls_security_level ask for; TLS is used where it can be had.",
    .source = "RFC 8689 3"};
/// Declared in receive/params.hpp.
inline constexpr Param<bool> cleanup_requiretls_enable{.name = "requiretls_enable", .initial = "yes", .doc = "Mail may require TLS."};
inline constexpr Param<bool> cleanup_requiretls_esmtp_header{
    .name = "requiretls_esmtp_header", .initial = "yes", .doc = "A field of the header says that it does."};

inline constexpr Param<std::string> scheduling_header{
    .name = "scheduling_header",
    .initial = "",
    .doc =
        "The header field (X-Schedule) in which senders say when their mail is to go: KumoMTA's JSON object with first_attempt, expires, and hours of the "
        "week (dow, tz, start, end). It counts in what sendmail and the service inject hand in, and of smtpd_future_release_clients and who has "
        "authenticated; it is taken out, and refused where it is wrong. Of others it is a field as any. docs/sending.md.",
    .source = "KumoMTA: message:import_scheduling_header",
    .own = true};

inline constexpr Param<std::string> header_checks{.name = "header_checks",
                                                  .initial = "",
                                                  .doc = "Tables that decide over each field of the header of received mail.",
                                                  .source = "header_checks(5)"};
inline constexpr Param<std::string> mime_header_checks{
    .name = "mime_header_checks", .initial = "$header_checks", .doc = "The same for Content-*: and MIME-Version: fields, and those of body parts."};
inline constexpr Param<std::string> nested_header_checks{
    .name = "nested_header_checks", .initial = "$header_checks", .doc = "The same for the headers of messages within the message."};
inline constexpr Param<std::string> body_checks{.name = "body_checks", .initial = "", .doc = "The same for each line of the body."};
inline constexpr Param<int> body_checks_size_limit{
    .name = "body_checks_size_limit", .initial = "51200", .least = 0, .doc = "Octets of each body part that body_checks looks at."};
inline constexpr Param<bool> disable_mime_input_processing{
    .name = "disable_mime_input_processing", .initial = "no", .doc = "Take all that follows the header for plain lines."};
inline constexpr Param<std::string> milter_header_checks{
    .name = "milter_header_checks", .initial = "", .doc = "header_checks for the header fields that Milters make.", .source = "header_checks(5)"};
inline constexpr Param<int> mime_nesting_limit{
    .name = "mime_nesting_limit",
    .initial = "100",
    .least = 1,
    .doc = "How deep parts may nest in received mail. Counted where checks look into the body, and in all mail where it is not 100."};
inline constexpr Param<int> mime_boundary_length_limit{
    .name = "mime_boundary_length_limit", .initial = "2048", .least = 1, .doc = "Octets of a boundary that are compared."};
inline constexpr Param<bool> force_mime_input_conversion{
    .name = "force_mime_input_conversion",
    .initial = "no",
    .doc = "Make parts that say 8bit quoted-printable before anything looks at them, so that signatures last on a way without 8BITMIME.",
    .source = "RFC 2045 6.7"};
inline constexpr Param<bool> strict_7bit_headers{
    .name = "strict_7bit_headers", .initial = "no", .doc = "Refuse mail with octets above 127 in a header, unless it is SMTPUTF8 mail."};
inline constexpr Param<bool> strict_8bitmime_body{
    .name = "strict_8bitmime_body", .initial = "no", .doc = "Refuse mail with octets above 127 in a body that does not say so."};
inline constexpr Param<bool> strict_8bitmime{
    .name = "strict_8bitmime", .initial = "no", .doc = "Both of strict_7bit_headers and strict_8bitmime_body."};
inline constexpr Param<std::string> message_reject_characters{
    .name = "message_reject_characters", .initial = "", .doc = "Octets that no message may have, as C writes them: \\0."};
inline constexpr Param<std::string> message_strip_characters{
    .name = "message_strip_characters", .initial = "", .doc = "Octets that are taken out of messages, as C writes them: \\0."};
inline constexpr Param<bool> strict_mime_encoding_domain{.name = "strict_mime_encoding_domain",
                                                         .initial = "no",
                                                         .doc = "Refuse mail with a multipart or message part that claims to be encoded.",
                                                         .source = "RFC 2045 6.4"};

inline constexpr Param<std::string> canonical_classes{.name = "canonical_classes",
                                                      .initial = "envelope_sender, envelope_recipient, header_sender, header_recipient",
                                                      .least = 1,
                                                      .doc = "The addresses that canonical_maps rewrite."};
inline constexpr Param<std::string> sender_canonical_maps{
    .name = "sender_canonical_maps", .initial = "", .doc = "Tables that rewrite sender addresses, before canonical_maps."};
inline constexpr Param<std::string> sender_canonical_classes{.name = "sender_canonical_classes",
                                                             .initial = "envelope_sender, header_sender",
                                                             .least = 1,
                                                             .doc = "The addresses that sender_canonical_maps rewrite."};
inline constexpr Param<std::string> recipient_canonical_classes{.name = "recipient_canonical_classes",
                                                                .initial = "envelope_recipient, header_recipient",
                                                                .least = 1,
                                                                .doc = "The addresses that recipient_canonical_maps rewrite."};
inline constexpr Param<std::string> masquerade_domains{
    .name = "masquerade_domains",
    .initial = "",
    .doc = "Domains whose subdomains are taken off addresses; the first that fits decides, !domain: not."};
inline constexpr Param<std::string> masquerade_classes{.name = "masquerade_classes",
                                                       .initial = "envelope_sender, header_sender, header_recipient",
                                                       .doc = "The addresses that masquerade_domains rewrite."};
inline constexpr Param<std::string> masquerade_exceptions{.name = "masquerade_exceptions", .initial = "", .doc = "Users whose addresses stay."};
inline constexpr Param<std::string> always_bcc{.name = "always_bcc", .initial = "", .doc = "An address that gets a copy of every message."};
inline constexpr Param<std::string> sender_bcc_maps{
    .name = "sender_bcc_maps", .initial = "", .doc = "Tables with the address that gets a copy of what a sender sends."};
inline constexpr Param<std::string> recipient_bcc_maps{
    .name = "recipient_bcc_maps", .initial = "", .doc = "Tables with the address that gets a copy of what a recipient gets."};

inline constexpr ParamInfo params[] = {canonical_classes,
                                       sender_canonical_maps,
                                       sender_canonical_classes,
                                       recipient_canonical_classes,
                                       masquerade_domains,
                                       masquerade_classes,
                                       masquerade_exceptions,
                                       always_bcc,
                                       sender_bcc_maps,
                                       recipient_bcc_maps,
                                       header_checks,
                                       mime_header_checks,
                                       nested_header_checks,
                                       milter_header_checks,
                                       body_checks,
                                       body_checks_size_limit,
                                       disable_mime_input_processing,
                                       force_mime_input_conversion,
                                       mime_nesting_limit,
                                       mime_boundary_length_limit,
                                       strict_7bit_headers,
                                       strict_8bitmime_body,
                                       strict_8bitmime,
                                       strict_mime_encoding_domain,
                                       message_reject_characters,
                                       message_strip_characters,
                                       always_add_missing_headers,
                                       header_from_format,
                                       full_name_encoding_charset,
                                       non_empty_end_of_header_action,
                                       message_drop_headers,
                                       scheduling_header,
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
                                       smtputf8_autodetect_classes,
                                       tls_required_enable};

}  // namespace posthorn::cleanup
