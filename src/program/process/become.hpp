// process/become.hpp: a forked child, and what it does before it is somebody else's. Safe after fork of a process with threads: the C library's own
// setres*id() are not, they talk to the threads that this copy does not have.
#pragma once

#include "process/command.hpp"

#include <functional>

namespace posthorn::process {

struct Forked {
    pid_t pid;
    Fd process;                              // a pidfd: readable when it has ended
    Fd heard;                                // what the child says, to its end
};
/// `child` is given where to say it, and does not return.
Result<Forked> fork_child(const std::function<void(int said)>& child);

/// User, the one group, no capabilities, and no way back. 0, or errno: then nothing may be done but end.
int become_user(RunAs user);
/// Every signal does what it does by default, and none is blocked.
void signals_as_at_first();

}  // namespace posthorn::process
