// observe/sinks.hpp: the log of a command, which writes its few lines itself, each when it is said. Services give theirs to the supervisor
// (log_ring.hpp), which writes them all (log_collector.hpp).
#pragma once

#include "observe/outlet.hpp"

#include <memory>

namespace posthorn::observe {

/// A full disk and a missing syslogd lose lines: mail does not stop for want of a log. One that is there and takes nothing holds the command up for the
/// patience.
std::shared_ptr<Sink> descriptor_sink(Fd descriptor, LogForm form, std::chrono::milliseconds patience = reader_patience);

}  // namespace posthorn::observe
