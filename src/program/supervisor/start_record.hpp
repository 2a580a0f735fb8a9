// supervisor/start_record.hpp: what a process of a line is told, but for its descriptors and its place among the others.
#pragma once

#include "supervisor/child.hpp"
#include "supervisor/loaded.hpp"

namespace posthorn::supervisor {

StartRecord start_record(const Loaded& loaded, const Identity& owner, const ProcessLine& line);

void put_folded(process::Folded& out, const std::string& service, const std::string& command, const std::vector<config::Assignment>& overrides);

/// Seconds from one sign of life to the next: three within the time after which the watchdog kills.
std::uint32_t heartbeat_of(const Loaded& loaded);

}  // namespace posthorn::supervisor
