// schedule/params.hpp: the parameters of this room. Families: "transport_..." is read as "smtp_...", "relay_..." and so on.
#pragma once

#include "config/param.hpp"

#include <chrono>
#include <string>

namespace posthorn::schedule {

using config::Param;
using std::chrono::seconds;

inline constexpr Param<seconds> minimal_backoff_time{
    .name = "minimal_backoff_time",
    .initial = "300s",
    .least = seconds{1},
    .doc = "The least time between two attempts at a message, and how long a site that could not be had is left alone."};
inline constexpr Param<seconds> maximal_backoff_time{
    .name = "maximal_backoff_time", .initial = "4000s", .least = seconds{1}, .doc = "The longest time between two attempts at a message."};
inline constexpr Param<seconds> maximal_queue_lifetime{.name = "maximal_queue_lifetime",
                                                       .initial = "5d",
                                                       .unit = config::Unit::days,
                                                       .most = seconds{8640000},
                                                       .doc = "A message that cannot be delivered for this long goes back to its sender.",
                                                       .source = "RFC 5321 4.5.4.1 asks for at least 4 to 5 days"};
inline constexpr Param<seconds> bounce_queue_lifetime{.name = "bounce_queue_lifetime",
                                                      .initial = "5d",
                                                      .unit = config::Unit::days,
                                                      .most = seconds{8640000},
                                                      .doc = "The same for mail from <>, which is then dropped."};
inline constexpr Param<seconds> delay_warning_time{.name = "delay_warning_time",
                                                   .initial = "0h",
                                                   .unit = config::Unit::hours,
                                                   .doc = "After this time the sender is told that the message waits; 0: never."};
inline constexpr Param<int> qmgr_message_active_limit{.name = "qmgr_message_active_limit",
                                                      .initial = "20000",
                                                      .least = 1,
                                                      .doc = "How many messages are being delivered at once; more of them wait in the queue."};
inline constexpr Param<int> qmgr_message_recipient_limit{
    .name = "qmgr_message_recipient_limit", .initial = "20000", .least = 1, .doc = "How many recipients are being delivered to at once."};
inline constexpr Param<seconds> qmgr_clog_warn_time{
    .name = "qmgr_clog_warn_time",
    .initial = "300s",
    .doc =
        "How long nothing more is said of a destination that has four fifths of a full active queue, after the last warning of it; 0: nothing at all."};
inline constexpr Param<bool> helpful_warnings{
    .name = "helpful_warnings",
    .initial = "yes",
    .doc = "Say in the log what qmgr_clog_warn_time is for. Advice about the configuration is not logged: postfix check has it."};
inline constexpr Param<seconds> transport_retry_time{
    .name = "transport_retry_time", .initial = "60s", .least = seconds{1}, .doc = "How long a transport without a delivery process is left alone."};

inline constexpr Param<int> destination_concurrency_limit{.name = "transport_destination_concurrency_limit",
                                                          .initial = "$default_destination_concurrency_limit",
                                                          .doc = "How many deliveries one site takes at once through this transport; 0: no limit."};
inline constexpr Param<int> initial_concurrency{.name = "transport_initial_destination_concurrency",
                                                .initial = "$initial_destination_concurrency",
                                                .least = 1,
                                                .doc = "How many deliveries a site is given at first."};
inline constexpr Param<int> destination_recipient_limit{
    .name = "transport_destination_recipient_limit",
    .initial = "$default_destination_recipient_limit",
    .doc = "How many recipients one delivery has; with 1, a site is one recipient address. 0: no limit."};
inline constexpr Param<int> failed_cohort_limit{.name = "transport_destination_concurrency_failed_cohort_limit",
                                                .initial = "$default_destination_concurrency_failed_cohort_limit",
                                                .doc = "How many windows full of failures in a row make a site dead; 0: none."};
inline constexpr Param<std::string> positive_feedback{
    .name = "transport_destination_concurrency_positive_feedback",
    .initial = "$default_destination_concurrency_positive_feedback",
    .doc = "How much a delivery that succeeds widens the window: a number up to 1, or a number/concurrency."};
inline constexpr Param<std::string> negative_feedback{.name = "transport_destination_concurrency_negative_feedback",
                                                      .initial = "$default_destination_concurrency_negative_feedback",
                                                      .doc = "How much a site that could not be had narrows the window."};
inline constexpr Param<seconds> destination_rate_delay{
    .name = "transport_destination_rate_delay",
    .initial = "$default_destination_rate_delay",
    .doc = "How long to wait between two deliveries to one site; with it a site takes one delivery at a time."};
inline constexpr Param<seconds> transport_rate_delay{.name = "transport_transport_rate_delay",
                                                     .initial = "$default_transport_rate_delay",
                                                     .doc = "How long to wait between any two deliveries of this transport."};

inline constexpr config::ParamInfo params[] = {minimal_backoff_time,
                                               maximal_backoff_time,
                                               maximal_queue_lifetime,
                                               bounce_queue_lifetime,
                                               delay_warning_time,
                                               qmgr_message_active_limit,
                                               qmgr_clog_warn_time,
                                               helpful_warnings,
                                               qmgr_message_recipient_limit,
                                               transport_retry_time,
                                               destination_concurrency_limit,
                                               initial_concurrency,
                                               destination_recipient_limit,
                                               failed_cohort_limit,
                                               positive_feedback,
                                               negative_feedback,
                                               destination_rate_delay,
                                               transport_rate_delay};

}  // namespace posthorn::schedule
