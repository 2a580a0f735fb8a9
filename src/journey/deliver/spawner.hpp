// deliver/spawner.hpp: what this room needs of who may become another user. program/services has the one that forks; tests give their own.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "deliver/command_end.hpp"

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace posthorn::deliver {

/// Whose privileges a delivery has: one user, one group, nothing else.
struct Privileges {
    uid_t uid;
    gid_t gid;
    bool operator==(const Privileges&) const = default;
};

struct CommandRun {
    std::vector<std::string> words;          // argv; the first is the program, by its path or looked for in /usr/bin and /bin
    std::vector<std::string> environment;    // NAME=value
    std::string root;                        // the root folder; empty: as it is. Program and directory are inside it
    std::string directory;                   // empty: as it is, or the root folder
    Privileges as{};
    std::function<Result<std::string>()> input;      // the next piece; an empty one is the end
    std::chrono::seconds time_limit{1000};
};

class Spawner {
public:
    virtual ~Spawner() = default;
    /// To its end, whatever that is.
    virtual awaitable<CommandEnd> run(CommandRun command) = 0;
    /// What `task` returns, done by a child that has become `who`. It may block. `keep`: a descriptor that it reads, or -1.
    /// An Error: the child could not be made, or ended before it had an answer.
    virtual awaitable<Result<std::string>> as(Privileges who, std::function<std::string()> task, int keep) = 0;
};

}  // namespace posthorn::deliver
