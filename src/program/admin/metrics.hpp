// admin/metrics.hpp: counters of all processes as Prometheus' text format, version 0.0.4.
// Series   processes of a line of master.cf together, by the labels service and program, with what processes that ended had counted: totals do not
//          fall while the instance runs. One HELP and TYPE for each metric, no series twice.
// Names    by the declarations (observe/counters.hpp): posthorn_NAME, with _seconds or _bytes for what has a unit, _total for what only grows.
// Trust    none: labels are escaped where they are counted (handoff/counting.hpp); a counter whose labels are not as they are written there is left
//          out. Sums stay in their range.
// Pure.
#pragma once

#include "observe/counters.hpp"
#include "process/control.pb.h"

#include <span>
#include <string>
#include <string_view>

namespace posthorn::admin {

/// Of every room that counts something.
std::span<const std::span<const observe::CounterInfo>> all_counters();

/// "posthorn_process_cpu_seconds_total"
std::string metric_name(const observe::CounterInfo& info);
std::string metrics_text(const process::InstanceCounters& counters, std::string_view version);

/// Of all processes, and of those that ended (but for gauges), together; 0: nobody counts it. `name` with its labels (handoff/counting.hpp).
std::int64_t sum_of(const process::InstanceCounters& counters, std::string_view name);

/// One object: {"processes": [{"service": ..., "counters": [{"name": ..., "value": ...}]}]}
std::string counters_json(const process::InstanceCounters& counters);

}  // namespace posthorn::admin
