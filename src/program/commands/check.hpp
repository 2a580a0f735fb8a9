// commands/check.hpp: what `postfix check` warns of. Errors are posthorn-master's; none of these keeps the mail system from starting.
#pragma once

#include "config/snapshot.hpp"

#include <string>
#include <vector>

namespace posthorn::commands {

/// Parameters of main.cf and master.cf that nothing acts on, and what follows.
std::vector<std::string> parameter_warnings(const config::Snapshot& snapshot);
/// Those that have nothing to decide here, and what is here instead: no warning, and told to who asks.
std::vector<std::string> parameter_notes(const config::Snapshot& snapshot);
/// Owners and modes of configuration, programs and queue, in Postfix's words: "not owned by root: FILE", "group or other writable: FILE".
std::vector<std::string> permission_warnings(const config::Snapshot& snapshot);

}  // namespace posthorn::commands
