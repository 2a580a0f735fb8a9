// supervisor/instance_lock.hpp: pid/master.pid, right-aligned as Postfix writes it, locked as long as the process lives (flock; children
// do not inherit it). A tool asks who holds it: the number in the file is believed only while the lock is held.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"

#include <sys/types.h>

#include <optional>
#include <string>

namespace posthorn::supervisor {

/// The process that holds the lock now.
std::optional<pid_t> running_instance(const std::string& queue_directory);

class InstanceLock {
public:
    /// Error: "the Postfix mail system is already running" when another process holds it.
    static Result<InstanceLock> take(const std::string& queue_directory);
    /// Writes this process's number: after the daemon has its final one.
    Result<void> write_pid() const;

private:
    explicit InstanceLock(Fd file) : file_(std::move(file)) {}
    Fd file_;
};

}  // namespace posthorn::supervisor
