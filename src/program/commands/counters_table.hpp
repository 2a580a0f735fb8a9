// commands/counters_table.hpp: what each process of an instance has cost, as `posthorn counters` prints it.
// Shape    one line per process, a sum, then every counter by name. Processor time per message stands beside its budget (docs/performance.md).
// Units    microseconds of processor time, user and system together. A process that did not answer has dashes.
// Pure.
#pragma once

#include "process/control.pb.h"

#include <string>

namespace posthorn::commands {

std::string counters_table(const process::InstanceCounters& counters);

}  // namespace posthorn::commands
