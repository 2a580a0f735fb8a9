// process/become.hpp: what a forked child does before it is somebody else's. Safe after fork of a process with threads: the C library's own
// setres*id() are not, they talk to the threads that this copy does not have.
#pragma once

#include "process/command.hpp"

namespace posthorn::process {

/// User, the one group, no capabilities, and no way back. 0, or errno: then nothing may be done but end.
int become_user(RunAs user);
/// Every signal does what it does by default, and none is blocked.
void signals_as_at_first();

}  // namespace posthorn::process
