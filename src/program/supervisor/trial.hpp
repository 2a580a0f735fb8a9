// supervisor/trial.hpp: what only a service can judge of a configuration: its restriction lists, its keys, the words of its parameters.
// Way      a process of each line prepares as it would to serve, from the new configuration, and ends before it is confined: it opens no
//          socket and no queue, and the running instance does not notice.
// Errors   the fatal line of each that did not come so far, as "FILE, line N: service LINE: text". One that neither fails nor passes within the
//          time is let pass: a slow name server must not hold up a reload.
#pragma once

#include "supervisor/loaded.hpp"

#include <chrono>
#include <set>
#include <string>
#include <vector>

namespace posthorn::supervisor {

/// Blocks until all have ended or the time is over: for a helper thread. `config`: the snapshot, as a memory file. `on_demand`: the keys of those lines that
/// have served before; the others of their kind are judged when there is mail for them.
std::vector<std::string> try_configuration(const std::string& services_program, const Loaded& loaded, const Identity& owner, int config,
                                           const std::set<std::string>& on_demand, std::chrono::milliseconds limit = std::chrono::seconds{10});

}  // namespace posthorn::supervisor
