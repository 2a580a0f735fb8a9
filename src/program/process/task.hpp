// process/task.hpp: a piece of work that may block, done by a forked copy of this process that has become another user.
// Inherits  the memory of its starter, for reading what it was given; of descriptors only those named in `keep`.
// Ends      after the task, with its answer. It is not bound to its starter, and SIGTERM does not end it: what writes into a mailbox finishes, and a
//           delivery whose starter is gone is made a second time rather than half.
// Errors    that start it: Error. A child that ends before its task has returned leaves an answer without its last octet (see answer_of()).
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"
#include "process/command.hpp"

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace posthorn::process {

struct RunningTask {
    pid_t pid;
    Fd process;                              // a pidfd: readable when it has ended
    Fd answer;                               // to be read to its end
};

/// `user`: none: as who starts it. To be called on a thread that no other forks beside.
Result<RunningTask> start_task(std::optional<RunAs> user, const std::function<std::string()>& task, int keep = -1);

/// The answer out of what was read; an Error where it is not whole.
Result<std::string> answer_of(std::string_view read);

}  // namespace posthorn::process
