// process/counters.hpp: what every process counts of itself. A line of master.cf is its processes together.
#pragma once

#include "observe/counters.hpp"

namespace posthorn::process {

using observe::CounterInfo;

inline constexpr CounterInfo processor_microseconds{.name = "processor_microseconds",
                                                    .unit = CounterInfo::Unit::microseconds,
                                                    .help = "Processor time, user and system, of all threads.",
                                                    .metric = "process_cpu"};
inline constexpr CounterInfo messages{.name = "messages",
                                      .help = "Messages that this service has done its work for: received, queued, routed, delivered.",
                                      .metric = "process_messages"};
inline constexpr CounterInfo resident_memory{.name = "resident_memory",
                                             .kind = CounterInfo::Kind::gauge,
                                             .unit = CounterInfo::Unit::octets,
                                             .help = "Memory of the process that is in the machine's memory.",
                                             .metric = "process_resident_memory"};
inline constexpr CounterInfo started{.name = "started",
                                     .kind = CounterInfo::Kind::gauge,
                                     .unit = CounterInfo::Unit::microseconds,
                                     .help = "When the youngest process was started, since the epoch.",
                                     .metric = "process_start_time",
                                     .together = CounterInfo::Together::largest};
inline constexpr CounterInfo loop_lag{.name = "loop_lag",
                                      .kind = CounterInfo::Kind::gauge,
                                      .unit = CounterInfo::Unit::microseconds,
                                      .help = "How late the event loop was at most within the last minute.",
                                      .metric = "event_loop_lag",
                                      .together = CounterInfo::Together::largest};
inline constexpr CounterInfo loop_late{
    .name = "loop_late", .help = "How often the event loop was late by 50 ms or more.", .metric = "event_loop_late"};
inline constexpr CounterInfo log_lines_dropped{.name = "log_lines_dropped", .help = "Log lines that were lost: the log could not keep up."};
inline constexpr CounterInfo records_dropped{.name = "records_dropped", .help = "Records (record_file) that were lost: the log could not keep up."};

inline constexpr CounterInfo asked{
    .name = "asked",
    .kind = CounterInfo::Kind::histogram,
    .unit = CounterInfo::Unit::microseconds,
    .help = "How long those that are asked while mail waits took: filters, policy servers, databases, lists in the DNS, names, the queue."};
inline constexpr CounterInfo asked_failed{.name = "asked_failed", .help = "Questions to them that had no usable answer."};
inline constexpr CounterInfo asked_open{.name = "asked_open", .kind = CounterInfo::Kind::gauge, .help = "Questions to them that are open."};
inline constexpr CounterInfo asked_oldest{.name = "asked_oldest",
                                          .kind = CounterInfo::Kind::gauge,
                                          .unit = CounterInfo::Unit::microseconds,
                                          .help = "For how long the oldest of these has been open.",
                                          .together = CounterInfo::Together::largest};
inline constexpr CounterInfo asked_longest{.name = "asked_longest",
                                           .kind = CounterInfo::Kind::gauge,
                                           .unit = CounterInfo::Unit::microseconds,
                                           .help = "The longest that one of them took within the last five to ten minutes.",
                                           .together = CounterInfo::Together::largest};

inline constexpr CounterInfo counters[] = {processor_microseconds, messages,        resident_memory, started,      loop_lag,   loop_late,
                                           log_lines_dropped,      records_dropped, asked,           asked_failed, asked_open, asked_oldest,
                                           asked_longest};

}  // namespace posthorn::process
