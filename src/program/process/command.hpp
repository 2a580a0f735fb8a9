// process/command.hpp: a program that a service starts, for a connection or a delivery, as another user.
// Inherits  what is named here and nothing else: three descriptors, the environment, the groups; signals as a shell would leave them.
// Group     each command leads a process group (and session) of its own: end_command() ends what it started as well.
// Bound     to the starter: it gets SIGTERM when that one ends, whatever ends it.
// Errors    that start it: Error. What keeps it from being executed is read from `trouble` when it has ended.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace posthorn::process {

struct RunAs {
    uid_t uid;
    gid_t gid;                               // the only group
};

struct Command {
    std::string program;                     // path
    std::vector<std::string> words;          // argv, its name in front
    std::vector<std::string> environment;    // NAME=value
    std::optional<RunAs> user;               // none: as who starts it
    std::string root;  // the root folder, entered before it becomes that user; empty: the starter's. The paths here are inside it
    std::string directory;  // as that user; empty: where the starter is, or the root folder
    std::optional<unsigned> file_mask;  // umask(2); none: the starter's
    int input = -1, output = -1, error = -1;
};

struct RunningCommand {
    pid_t pid;
    Fd process;  // a pidfd: readable when it has ended
    Fd trouble;  // see execution_error()
};

Result<RunningCommand> start_command(const Command& command);
/// Of a command that has ended: why the program could not be executed; none: it was.
std::optional<Error> execution_error(const Command& command, const RunningCommand& running);
/// SIGKILL to all of its process group.
void end_command(const RunningCommand& running);

/// What a client is told about: "exit status 3", "killed by signal 9"; empty: it ended well.
std::string outcome_of(int wait_status);

}  // namespace posthorn::process
