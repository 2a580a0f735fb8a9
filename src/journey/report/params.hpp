// report/params.hpp: the parameters of this room.
#pragma once

#include "config/param.hpp"

#include <string>

namespace posthorn::report {

using config::Param;

inline constexpr Param<std::string> notify_classes{
    .name = "notify_classes",
    .initial = "resource, software",
    .doc =
        "What the postmaster hears about: bounce, 2bounce, delay; and SMTP sessions with trouble of a class: policy (a client was refused), protocol "
        "(it did not follow the rules), data (a table failed), resource (the disk), software (the configuration)."};
inline constexpr Param<std::string> bounce_notice_recipient{.name = "bounce_notice_recipient",
                                                            .initial = "postmaster",
                                                            .least = 1,
                                                            .doc = "Who gets a copy of each bounce, where notify_classes has bounce."};
inline constexpr Param<std::string> double_bounce_notice_recipient{
    .name = "2bounce_notice_recipient",
    .initial = "postmaster",
    .least = 1,
    .doc = "Who hears of mail from <> that cannot be delivered, where notify_classes has 2bounce."};
inline constexpr Param<std::string> delay_notice_recipient{.name = "delay_notice_recipient",
                                                           .initial = "postmaster",
                                                           .least = 1,
                                                           .doc = "Who gets a copy of each delay warning, where notify_classes has delay."};
inline constexpr Param<std::string> error_notice_recipient{
    .name = "error_notice_recipient",
    .initial = "postmaster",
    .least = 1,
    .doc = "Who gets what was said in an SMTP session with trouble of a class of notify_classes: policy, protocol, data, resource, software."};
inline constexpr Param<std::string> double_bounce_sender{.name = "double_bounce_sender",
                                                         .initial = "double-bounce",
                                                         .least = 1,
                                                         .doc = "The sender of reports to the postmaster; what comes back to it is dropped."};
inline constexpr Param<std::string> bounce_template_file{
    .name = "bounce_template_file", .initial = "", .doc = "A file with the texts of reports, in the form of bounce(5)."};
inline constexpr Param<bool> enable_threaded_bounces{
    .name = "enable_threaded_bounces",
    .initial = "no",
    .doc = "Reports say In-Reply-To and References, so that mail readers show them beside the message."};
inline constexpr Param<bool> requiretls_redact_dsn{
    .name = "requiretls_redact_dsn",
    .initial = "yes",
    .doc =
        "Reports of mail that requires TLS come with its header alone, and are sent without REQUIRETLS where it is not offered; no: with what RET asks for, "
        "and as the mail was.",
    .source = "RFC 8689 5"};

inline constexpr Param<std::string> bounce_explanation_maps{
    .name = "bounce_explanation_maps",
    .initial = "",
    .doc = "Tables with texts that say in plain words why mail failed or is delayed, and what its sender can do, by the class of the failure and a "
           "language; shipped: the texts that came with the program (conf/bounce_explanations). Empty: reports say what they always said.",
    .own = true};
inline constexpr Param<std::string> bounce_explanation_languages{
    .name = "bounce_explanation_languages",
    .initial = "",
    .doc = "Languages in which texts of bounce_explanation_maps are looked for, in order: tags as de or pt-BR, and sender, which is what "
           "Content-Language, or else Accept-Language, of the returned message says. Where no tag stands in it, en is the last.",
    .source = "RFC 3282, RFC 4021",
    .own = true};

inline constexpr config::ParamInfo params[] = {notify_classes,          bounce_notice_recipient,     double_bounce_notice_recipient,
                                               delay_notice_recipient,  error_notice_recipient,      double_bounce_sender,
                                               bounce_template_file,    enable_threaded_bounces,     requiretls_redact_dsn,
                                               bounce_explanation_maps, bounce_explanation_languages};

}  // namespace posthorn::report
