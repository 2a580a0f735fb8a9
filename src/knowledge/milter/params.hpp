// milter/params.hpp: the parameters of mail filters. Defaults are those of Postfix 3.11.
#pragma once

#include "config/param.hpp"

namespace posthorn::milter {

using config::Param;
using config::ParamInfo;

inline constexpr Param<std::string> smtpd_milters{
    .name = "smtpd_milters",
    .initial = "",
    .doc = "Milters that see what comes by SMTP, one after the other: inet:host:port, unix:path, or { inet:host:port, default_action=accept } with "
           "connect_timeout, command_timeout, content_timeout, protocol and default_action of its own.",
    .source = "MILTER_README"};
inline constexpr Param<std::string> smtpd_milter_maps{
    .name = "smtpd_milter_maps",
    .initial = "",
    .doc = "Tables from a client's address to the Milters that take the place of smtpd_milters; DISABLE: none."};
inline constexpr Param<std::string> non_smtpd_milters{
    .name = "non_smtpd_milters", .initial = "", .doc = "Milters that see mail that does not come by SMTP: what the sendmail command submits."};
inline constexpr Param<std::string> milter_default_action{
    .name = "milter_default_action",
    .initial = "shutdown",
    .least = 1,
    .doc =
        "What becomes of mail while a Milter cannot be asked: accept, reject, tempfail, quarantine, or shutdown (421, and the client is sent away)."};
inline constexpr Param<std::string> milter_protocol{
    .name = "milter_protocol",
    .initial = "6",
    .least = 1,
    .doc = "The version of the protocol that is offered: 2, 3, 4 or 6; no_header_reply: it answers no single header field."};
inline constexpr Param<std::chrono::seconds> milter_connect_timeout{
    .name = "milter_connect_timeout", .initial = "30s", .least = std::chrono::seconds{1}, .doc = "How long to wait for a connection to a Milter."};
inline constexpr Param<std::chrono::seconds> milter_command_timeout{
    .name = "milter_command_timeout", .initial = "30s", .least = std::chrono::seconds{1}, .doc = "How long a Milter may take for an SMTP command."};
inline constexpr Param<std::chrono::seconds> milter_content_timeout{
    .name = "milter_content_timeout",
    .initial = "300s",
    .least = std::chrono::seconds{1},
    .doc = "How long a Milter may take for a piece of the message, or for its end; one that says that it is still at work has as long again."};
inline constexpr Param<std::string> milter_macro_daemon_name{
    .name = "milter_macro_daemon_name", .initial = "$myhostname", .least = 1, .doc = "The macro {daemon_name}."};
inline constexpr Param<std::string> milter_macro_v{
    .name = "milter_macro_v", .initial = "$mail_name $mail_version", .least = 1, .doc = "The macro v."};
inline constexpr Param<std::string> milter_macro_defaults{
    .name = "milter_macro_defaults", .initial = "", .doc = "name=value pairs for macros that have no value of their own."};
inline constexpr Param<std::string> milter_connect_macros{
    .name = "milter_connect_macros", .initial = "j {daemon_name} {daemon_addr} v _", .doc = "The macros that go with the connection of a client."};
inline constexpr Param<std::string> milter_helo_macros{.name = "milter_helo_macros",
                                                       .initial = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
                                                       .doc = "The macros that go with HELO and EHLO."};
inline constexpr Param<std::string> milter_mail_macros{.name = "milter_mail_macros",
                                                       .initial = "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
                                                       .doc = "The macros that go with MAIL."};
inline constexpr Param<std::string> milter_rcpt_macros{
    .name = "milter_rcpt_macros", .initial = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}", .doc = "The macros that go with RCPT."};
inline constexpr Param<std::string> milter_data_macros{
    .name = "milter_data_macros", .initial = "i", .doc = "The macros that go with DATA, and with the first BDAT."};
inline constexpr Param<std::string> milter_end_of_header_macros{
    .name = "milter_end_of_header_macros", .initial = "i", .doc = "The macros that go with the header of a message."};
inline constexpr Param<std::string> milter_end_of_data_macros{
    .name = "milter_end_of_data_macros", .initial = "i", .doc = "The macros that go with the body of a message and its end."};
inline constexpr Param<std::string> milter_unknown_command_macros{
    .name = "milter_unknown_command_macros", .initial = "", .doc = "The macros that go with a command that we do not know."};

inline constexpr ParamInfo params[] = {
    smtpd_milters,
    smtpd_milter_maps,
    non_smtpd_milters,
    milter_default_action,
    milter_protocol,
    milter_connect_timeout,
    milter_command_timeout,
    milter_content_timeout,
    milter_macro_daemon_name,
    milter_macro_v,
    milter_macro_defaults,
    milter_connect_macros,
    milter_helo_macros,
    milter_mail_macros,
    milter_rcpt_macros,
    milter_data_macros,
    milter_end_of_header_macros,
    milter_end_of_data_macros,
    milter_unknown_command_macros,
};

}  // namespace posthorn::milter
