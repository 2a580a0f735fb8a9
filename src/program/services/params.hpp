// services/params.hpp: what the services themselves decide; a room's parameters are in the room.
#pragma once

#include "config/param.hpp"

namespace posthorn::services {

using config::Param;

inline constexpr Param<bool> soft_bounce{
    .name = "soft_bounce", .initial = "no", .doc = "For trying things out: nothing is returned to its sender, what would be stays in the queue."};
inline constexpr Param<config::List> defer_transports{
    .name = "defer_transports", .initial = "", .doc = "Transports whose mail waits until `postqueue -f`."};
inline constexpr Param<int> bounce_size_limit{
    .name = "bounce_size_limit", .initial = "50000", .least = 1, .doc = "A larger message is returned with its header alone."};
inline constexpr Param<bool> disable_verp_bounces{
    .name = "disable_verp_bounces",
    .initial = "no",
    .doc = "Reports about mail with a return path for each recipient go to its sender, one for all of them."};
inline constexpr Param<bool> confirm_delay_cleared{
    .name = "confirm_delay_cleared",
    .initial = "no",
    .doc = "Who was warned of a delay (delay_warning_time) is told when the message has been delivered after all."};
inline constexpr Param<int> header_size_limit{
    .name = "header_size_limit", .initial = "102400", .least = 1, .doc = "How much of a header is looked at, and returned."};
inline constexpr Param<bool> enable_long_queue_ids{
    .name = "enable_long_queue_ids", .initial = "no", .doc = "Queue ids that tell their time and are not used again for long."};
inline constexpr Param<std::chrono::seconds> reload_grace_time{
    .name = "reload_grace_time",
    .initial = "100s",
    .least = std::chrono::seconds{1},
    .doc = "How long SMTP sessions of before a reload may begin new mail, by the settings of then; after it MAIL gets 421 4.3.2.",
    .own = true};
inline constexpr Param<std::chrono::seconds> command_time_limit{.name = "command_time_limit",
                                                                .initial = "1000s",
                                                                .least = std::chrono::seconds{1},
                                                                .doc = "How long a command that is started for a delivery or a connection may run."};
inline constexpr Param<std::chrono::seconds> service_time_limit{.name = "transport_time_limit",
                                                                .initial = "$command_time_limit",
                                                                .least = std::chrono::seconds{1},
                                                                .doc = "The same for one service, by its name: policy_time_limit."};
inline constexpr Param<std::string> export_environment{.name = "export_environment",
                                                       .initial = "TZ MAIL_CONFIG LANG",
                                                       .doc = "The environment of commands: names, whose values are handed on, and name=value."};
inline constexpr Param<std::chrono::seconds> anvil_rate_time_unit{.name = "anvil_rate_time_unit",
                                                                  .initial = "60s",
                                                                  .least = std::chrono::seconds{1},
                                                                  .doc = "The time within which smtpd_client_*_rate_limit count."};
inline constexpr Param<std::chrono::seconds> anvil_status_update_time{.name = "anvil_status_update_time",
                                                                      .initial = "600s",
                                                                      .least = std::chrono::seconds{1},
                                                                      .doc = "How often the highest rates of clients are logged."};
inline constexpr Param<std::string> internal_mail_filter_classes{
    .name = "internal_mail_filter_classes",
    .initial = "",
    .doc = "Mail of our own that header_checks, body_checks and non_smtpd_milters look at: bounce (reports), notify (notices to the postmaster)."};
inline constexpr Param<std::string> local_login_sender_maps{
    .name = "local_login_sender_maps",
    .initial = "static:*",
    .doc = "Tables from a user of this machine to the senders that it may use with sendmail: addresses, @domain, * (any), <> (the empty one)."};
inline constexpr Param<std::string> empty_address_local_login_sender_maps_lookup_key{
    .name = "empty_address_local_login_sender_maps_lookup_key",
    .initial = "<>",
    .doc = "What stands for the empty sender in results of local_login_sender_maps."};
inline constexpr Param<config::List> record_types{
    .name = "record_types",
    .initial = "Reception, Delivery, TransientFailure, Bounce, Expiration, AdminBounce, Rejection, XferOut, XferIn",
    .doc = "Which records are written to record_file.",
    .own = true};
inline constexpr Param<config::List> record_headers{
    .name = "record_headers", .initial = "", .doc = "Names of header fields whose texts are in the records of a message.", .own = true};
inline constexpr Param<std::string> record_hook_url{
    .name = "record_hook_url",
    .initial = "",
    .doc =
        "Where the records of record_file are posted, as JSON: http://HOST[:PORT]/... or https://..., whose certificate has to have the host's name. Empty: nowhere.",
    .own = true};
inline constexpr Param<int> record_hook_batch_size{.name = "record_hook_batch_size",
                                                   .initial = "1",
                                                   .least = 1,
                                                   .most = 1000,
                                                   .doc = "How many records are posted at once: 1 is an object a request, more are an array.",
                                                   .own = true};
inline constexpr Param<std::string> record_hook_authorization_file{
    .name = "record_hook_authorization_file",
    .initial = "",
    .doc = "A file with the value of the Authorization: field of these requests (it may be root's, mode 0600). Empty: there is none.",
    .own = true};
inline constexpr Param<std::chrono::seconds> record_hook_timeout{.name = "record_hook_timeout",
                                                                 .initial = "30s",
                                                                 .least = std::chrono::seconds{1},
                                                                 .doc = "How long one of these requests may take, connection included.",
                                                                 .own = true};
inline constexpr Param<std::chrono::seconds> record_hook_refused_time{
    .name = "record_hook_refused_time",
    .initial = "300s",
    .doc =
        "How long one record is posted again that the server refuses for its content (400, 413, 415, 422), before the next ones go on without it; 0: for ever.",
    .own = true};
inline constexpr Param<std::string> queue_standby{
    .name = "queue_standby",
    .initial = "",
    .doc =
        "The name of a spawn line of master.cf whose command reaches \"posthorn standby receive\" on another machine: a copy of the queue is kept there, in step. Empty: "
        "there is none.",
    .own = true};
inline constexpr Param<bool> queue_standby_required{
    .name = "queue_standby_required",
    .initial = "no",
    .doc = "While the copy of the queue cannot be reached, no mail is taken (451) and none delivered. With no, the queue goes on alone, and says so.",
    .own = true};
inline constexpr Param<std::chrono::seconds> queue_standby_timeout{
    .name = "queue_standby_timeout",
    .initial = "5s",
    .least = std::chrono::seconds{1},
    .doc = "How long the copy of the queue may take to store what it is told, before it counts as away.",
    .own = true};
inline constexpr Param<config::List> memory_siblings{
    .name = "memory_siblings",
    .initial = "",
    .doc =
        "Names of spawn lines of master.cf whose commands lead to a `posthorn share` on another machine, as ssh HOST posthorn share: both tell each other what they "
        "learned of servers and addresses.",
    .own = true};
inline constexpr config::ParamInfo params[] = {queue_standby,
                                               queue_standby_required,
                                               queue_standby_timeout,
                                               memory_siblings,
                                               record_types,
                                               record_headers,
                                               record_hook_url,
                                               record_hook_batch_size,
                                               record_hook_authorization_file,
                                               record_hook_timeout,
                                               record_hook_refused_time,
                                               anvil_rate_time_unit,
                                               anvil_status_update_time,
                                               soft_bounce,
                                               defer_transports,
                                               bounce_size_limit,
                                               disable_verp_bounces,
                                               header_size_limit,
                                               enable_long_queue_ids,
                                               confirm_delay_cleared,
                                               reload_grace_time,
                                               command_time_limit,
                                               service_time_limit,
                                               export_environment,
                                               internal_mail_filter_classes,
                                               local_login_sender_maps,
                                               empty_address_local_login_sender_maps_lookup_key};

}  // namespace posthorn::services
