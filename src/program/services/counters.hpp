// services/counters.hpp: what the services count, each once; docs/admin.md and the admin service have the metrics from here.
#pragma once

#include "observe/counters.hpp"

namespace posthorn::services {

using observe::CounterInfo;
using Kind = CounterInfo::Kind;
using Unit = CounterInfo::Unit;

// qmgr
inline constexpr CounterInfo qmgr_enqueued{.name = "qmgr_enqueued", .help = "Messages that were taken into the queue."};
inline constexpr CounterInfo qmgr_delivered{.name = "qmgr_delivered", .help = "Recipients that were delivered to."};
inline constexpr CounterInfo qmgr_deferred{.name = "qmgr_deferred", .help = "Attempts at a recipient that failed for the time being."};
inline constexpr CounterInfo qmgr_bounced{.name = "qmgr_bounced", .help = "Recipients that were given up: refused for good, or expired."};
inline constexpr CounterInfo qmgr_removed{.name = "qmgr_removed", .help = "Messages that left the queue, all of their recipients done."};
inline constexpr CounterInfo qmgr_refused_to_client{
    .name = "qmgr_refused_to_client",
    .help = "Messages that delivery refused while their client waited: it was told, and nothing was returned (smtpd_delivery_answer_domains)."};
inline constexpr CounterInfo qmgr_handed_over{.name = "qmgr_handed_over",
                                              .help = "Messages that went to the queue of another instance (posthorn hand-over)."};
inline constexpr CounterInfo qmgr_taken_over{.name = "qmgr_taken_over",
                                             .help = "Messages that came from the queue of another instance (posthorn take-over)."};
inline constexpr CounterInfo standby_in_step{
    .name = "standby_in_step", .kind = Kind::gauge, .help = "1: the copy of the queue on another machine is in step, 0: it is not (queue_standby)."};
inline constexpr CounterInfo standby_lost{.name = "standby_lost", .help = "How often the copy of the queue was in step, and then away."};
inline constexpr CounterInfo standby_octets{.name = "standby_octets", .help = "Octets that were told to the copy of the queue."};
inline constexpr CounterInfo qmgr_attempts{.name = "qmgr_attempts", .help = "Requests given to delivery processes."};
inline constexpr CounterInfo qmgr_active{.name = "qmgr_active", .kind = Kind::gauge, .help = "Messages of the active queue."};
inline constexpr CounterInfo qmgr_waiting{.name = "qmgr_waiting", .kind = Kind::gauge, .help = "Messages that wait for their next try."};
inline constexpr CounterInfo qmgr_results{.name = "qmgr_results",
                                          .help = "What became of attempts at recipients, by transport, result (delivered, deferred, bounced, "
                                                  "expired) and the class and subject of the enhanced status code.",
                                          .metric = "deliveries"};
inline constexpr CounterInfo qmgr_deferrals{.name = "qmgr_deferrals",
                                            .help = "Attempts that failed for the time being, by transport and reason (a closed set of words).",
                                            .metric = "deferrals"};
inline constexpr CounterInfo queue_messages{.name = "queue_messages", .kind = Kind::gauge, .help = "Messages in the queue, by queue and age."};
inline constexpr CounterInfo queue_groups{.name = "queue_groups",
                                          .kind = Kind::gauge,
                                          .help = "Different destinations and reasons of what is deferred.",
                                          .metric = "queue_deferred_groups"};
inline constexpr CounterInfo queue_orders{.name = "queue_orders",
                                          .kind = Kind::gauge,
                                          .help = "Orders of operators for destinations that are in force, by what they do (suspend, bounce)."};
inline constexpr CounterInfo accounts_known{.name = "accounts_known", .kind = Kind::gauge, .help = "Accounts that have handed mail in."};
inline constexpr CounterInfo accounts_alarmed{
    .name = "accounts_alarmed", .kind = Kind::gauge, .help = "Of them those whose mail looks as if it were somebody else's."};
inline constexpr CounterInfo accounts_ordered{.name = "accounts_ordered",
                                              .kind = Kind::gauge,
                                              .help =
                                                  "Accounts whose mail operators have put on hold or refused, by what they ordered (hold, refuse)."};
inline constexpr CounterInfo account_alarms{
    .name = "account_alarms", .help = "Accounts whose mail began to look as if it were somebody else's, by what did (rate, networks, refused)."};
inline constexpr CounterInfo account_mails{
    .name = "account_mails",
    .help = "Mails that were not taken as they were because of their account, by what became of them (hold, defer, reject)."};
inline constexpr CounterInfo delivery_delay{.name = "delivery_delay",
                                            .kind = Kind::histogram,
                                            .unit = Unit::microseconds,
                                            .help = "From the arrival of a message to the delivery of one of its recipients."};
inline constexpr CounterInfo delivery_transmission{.name = "delivery_transmission",
                                                   .kind = Kind::histogram,
                                                   .unit = Unit::microseconds,
                                                   .help = "From the connection to the answer that accepted a recipient's mail."};

// smtpd
inline constexpr CounterInfo smtpd_sessions{.name = "smtpd_sessions", .kind = Kind::gauge, .help = "SMTP sessions that are open."};
inline constexpr CounterInfo smtpd_transactions{.name = "smtpd_transactions", .kind = Kind::gauge, .help = "Sessions with mail under way."};
inline constexpr CounterInfo smtpd_memory{
    .name = "smtpd_memory", .kind = Kind::gauge, .unit = Unit::octets, .help = "Memory of sessions and contents, as counted against the ceiling."};
inline constexpr CounterInfo smtpd_connections{.name = "smtpd_connections", .help = "Connections of clients."};
inline constexpr CounterInfo smtpd_accepted{.name = "smtpd_accepted", .help = "Messages that were accepted."};
inline constexpr CounterInfo smtpd_refused_for_memory{.name = "smtpd_refused_for_memory", .help = "Sessions and mail refused for want of memory."};
inline constexpr CounterInfo smtpd_rejections{.name = "smtpd_rejections",
                                              .help =
                                                  "Refusals, by command, class of the reply code (4, 5) and what refused: a restriction by its name, "
                                                  "after-lists, content, milter, screen, sender, queue, memory."};
inline constexpr CounterInfo smtpd_reject_warnings{
    .name = "smtpd_reject_warnings",
    .help = "What restrictions behind warn_if_reject would have refused, by command, class of the reply code and restriction."};

// inject, beside what smtpd counts
inline constexpr CounterInfo inject_requests{.name = "inject_requests",
                                             .help = "Requests over HTTP that were answered by the service inject, by status."};
inline constexpr CounterInfo inject_recipients{.name = "inject_recipients",
                                               .help = "Recipients of mail that came in over HTTP, by result: taken or refused."};
inline constexpr CounterInfo inject_connections{
    .name = "inject_connections", .kind = CounterInfo::Kind::gauge, .help = "Connections to the service inject that are open."};

// smtp and lmtp
inline constexpr CounterInfo smtp_deliveries{.name = "smtp_deliveries", .help = "Requests that were worked off."};
inline constexpr CounterInfo smtp_recipients{.name = "smtp_recipients", .help = "Recipients of those."};
inline constexpr CounterInfo smtp_sessions{.name = "smtp_sessions", .help = "Sessions with next hosts."};
inline constexpr CounterInfo smtp_sessions_reused{.name = "smtp_sessions_reused", .help = "Deliveries by a session that was there already."};
inline constexpr CounterInfo smtp_failed_connects{.name = "smtp_failed_connects", .help = "Connections that could not be had."};
inline constexpr CounterInfo smtp_round_trips{.name = "smtp_round_trips", .help = "Round trips to next hosts."};

inline constexpr CounterInfo smtp_observations_dropped{.name = "smtp_observations_dropped",
                                                       .help = "What sessions showed of their peers, and memory was not told in time."};
inline constexpr CounterInfo smtp_transcripts_dropped{.name = "smtp_transcripts_dropped", .help = "Transcripts that memory was not told in time."};

// smtpd, smtp
inline constexpr CounterInfo trials_dropped{.name = "trials_dropped",
                                            .help = "What stricter settings would have done that memory was not told in time (posthorn trials)."};

// who asks names: smtpd, smtp, lmtp
inline constexpr CounterInfo dns_questions{.name = "dns_questions", .help = "Questions about names and addresses."};
inline constexpr CounterInfo dns_from_cache{.name = "dns_from_cache", .help = "Questions that the cache answered."};
inline constexpr CounterInfo dns_asked{.name = "dns_asked", .help = "Questions that name servers were asked."};
inline constexpr CounterInfo dns_temporary{.name = "dns_temporary", .help = "Questions that could not be answered for the time being."};

// pipe, virtual and local; spawn; resolve
inline constexpr CounterInfo delivery_children{.name = "delivery_children", .help = "Children that were started for deliveries."};
inline constexpr CounterInfo spawn_commands{.name = "spawn_commands", .help = "Commands that were started for connections."};
inline constexpr CounterInfo pickup_messages{.name = "pickup_messages", .help = "Local submissions that were picked up."};

// memory
inline constexpr CounterInfo verify_questions{.name = "verify_questions", .help = "Questions whether an address takes mail."};
inline constexpr CounterInfo verify_probes{.name = "verify_probes", .help = "Probes that were sent for them."};
inline constexpr CounterInfo verify_from_cache{.name = "verify_from_cache", .help = "Questions that the cache answered."};
inline constexpr CounterInfo verify_controls{.name = "verify_controls", .help = "Probes of made-up addresses."};
inline constexpr CounterInfo transcripts_stored{.name = "transcripts_stored", .help = "Transcripts of sessions that were stored."};
inline constexpr CounterInfo transcripts_dropped{.name = "transcripts_dropped", .help = "Transcripts that could not be stored."};
inline constexpr CounterInfo siblings_connected{
    .name = "siblings_connected", .kind = Kind::gauge, .help = "Sessions with siblings, which tell each other what they learned (memory_siblings)."};
inline constexpr CounterInfo siblings_told{.name = "siblings_told", .help = "Words of servers, ways and addresses that siblings were told."};
inline constexpr CounterInfo siblings_heard{.name = "siblings_heard", .help = "Such words that they told us."};
inline constexpr CounterInfo siblings_news{.name = "siblings_news", .help = "Of these, what was not known here."};
inline constexpr CounterInfo peers_known{.name = "peers_known", .kind = Kind::gauge, .help = "Servers of which something is known."};
inline constexpr CounterInfo peers_learned{.name = "peers_learned", .help = "Quirks that were learned of servers, by quirk."};
inline constexpr CounterInfo peers_changed{.name = "peers_changed",
                                           .help = "Changes that servers and MX sets showed, by kind (offered, gone, other, comes-and-goes, "
                                                   "expires, expired)."};
inline constexpr CounterInfo anvil_clients{
    .name = "anvil_clients", .kind = Kind::gauge, .help = "Clients whose connections and rates are counted now."};
inline constexpr CounterInfo screen_clients{
    .name = "screen_clients", .kind = Kind::gauge, .help = "Clients of which is known that they passed tests before the greeting."};

inline constexpr CounterInfo reports_dropped{.name = "reports_dropped", .help = "Sessions and messages that reporter was not told of in time."};
inline constexpr CounterInfo reports_counted{.name = "reports_counted", .help = "Sessions and messages that daily reports count."};
inline constexpr CounterInfo reports_sent{.name = "reports_sent", .help = "Daily reports that one place at least has."};
inline constexpr CounterInfo reports_failed{.name = "reports_failed", .help = "Attempts to send a daily report that failed."};
inline constexpr CounterInfo reports_received{
    .name = "reports_received",
    .help = "Reports that others sent of domains of ours, by kind (tls, dmarc) and what became of them (kept, known, no room, not ours)."};
inline constexpr CounterInfo reports_unreadable{.name = "reports_unreadable", .help = "Mails to report_addresses in which no report could be read."};
inline constexpr CounterInfo hook_posted{.name = "hook_posted", .help = "Records that record_hook_url has taken."};
inline constexpr CounterInfo hook_refused{.name = "hook_refused", .help = "Records that record_hook_url always refused, and that were left out."};
inline constexpr CounterInfo hook_failed{.name = "hook_failed", .help = "Requests to record_hook_url that failed; they are made again."};
inline constexpr CounterInfo hook_behind{.name = "hook_behind",
                                         .kind = CounterInfo::Kind::gauge,
                                         .unit = CounterInfo::Unit::octets,
                                         .help = "Octets of records that record_hook_url has not taken yet."};

inline constexpr CounterInfo counters[] = {qmgr_enqueued,
                                           qmgr_delivered,
                                           qmgr_deferred,
                                           qmgr_bounced,
                                           accounts_known,
                                           accounts_alarmed,
                                           accounts_ordered,
                                           account_alarms,
                                           account_mails,
                                           qmgr_removed,
                                           qmgr_refused_to_client,
                                           qmgr_handed_over,
                                           standby_in_step,
                                           standby_lost,
                                           standby_octets,
                                           qmgr_taken_over,
                                           qmgr_attempts,
                                           qmgr_active,
                                           qmgr_waiting,
                                           qmgr_results,
                                           qmgr_deferrals,
                                           queue_messages,
                                           queue_groups,
                                           queue_orders,
                                           delivery_delay,
                                           delivery_transmission,
                                           smtpd_sessions,
                                           smtpd_transactions,
                                           smtpd_memory,
                                           smtpd_connections,
                                           smtpd_accepted,
                                           smtpd_refused_for_memory,
                                           smtpd_rejections,
                                           smtpd_reject_warnings,
                                           inject_requests,
                                           inject_recipients,
                                           inject_connections,
                                           smtp_deliveries,
                                           smtp_recipients,
                                           smtp_sessions,
                                           smtp_sessions_reused,
                                           smtp_failed_connects,
                                           smtp_round_trips,
                                           smtp_observations_dropped,
                                           smtp_transcripts_dropped,
                                           trials_dropped,
                                           dns_questions,
                                           dns_from_cache,
                                           dns_asked,
                                           dns_temporary,
                                           delivery_children,
                                           spawn_commands,
                                           pickup_messages,
                                           verify_questions,
                                           verify_probes,
                                           verify_from_cache,
                                           verify_controls,
                                           transcripts_stored,
                                           transcripts_dropped,
                                           siblings_connected,
                                           siblings_told,
                                           siblings_heard,
                                           siblings_news,
                                           peers_known,
                                           peers_learned,
                                           peers_changed,
                                           anvil_clients,
                                           screen_clients,
                                           reports_dropped,
                                           reports_counted,
                                           reports_sent,
                                           reports_failed,
                                           reports_received,
                                           reports_unreadable,
                                           hook_posted,
                                           hook_failed,
                                           hook_refused,
                                           hook_behind};

}  // namespace posthorn::services
