// supervisor/child.hpp: one process of a service.
// Starting  fork and exec of the services' program with exactly the descriptors of the start record: 3 the control channel, 4 the record,
//           then configuration, log and listening sockets. Everything else is closed in the child.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"
#include "ipc/channel.hpp"
#include "observe/outlet.hpp"
#include "process/control.hpp"
#include "supervisor/file_access.hpp"

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::supervisor {

struct Child {
    pid_t pid = -1;
    std::string line;                        // ProcessLine::key
    std::string command;                     // for messages: daemon_directory/program
    unsigned index = 0, generation = 0;
    bool ready = false, stopping = false;
    bool killed = false;                     // by us; its end is no surprise
    bool told_last = false;                  // its last counters: it counts no more
    bool replaced = false;                   // told to end, so that one with more rights takes its place at once
    SteadyTime sign_of_life{};
    std::optional<SteadyTime> kill_at;
    std::shared_ptr<ipc::Channel> channel;
    std::map<std::string, FileIdentity> opened;      // through the broker
    std::uint64_t messages = 0, processor_microseconds = 0;
    std::uint64_t log_ring = 0;              // the collector's number for it
};

struct Spawned {
    pid_t pid;
    Fd control;                              // our end
};

/// A descriptor of the start record: what the child will have, and where its number is written.
class StartRecord {
public:
    process::Start record;
    std::vector<std::string> environment;    // NAME=value: before what we have ourselves
    bool home = false;                       // whether HOME is part of that
    void config(int descriptor);
    void log(int ring, int bell);
    void log_alone(int target, observe::LogForm form);
    void records_alone(int target);
    void listening(int descriptor, std::string name, bool inet, bool datagram);
    void check_powers(int descriptor);
    void trial(int descriptor);

private:
    friend Result<Spawned> spawn_service(const std::string& program, StartRecord start);
    std::uint32_t add(int descriptor);
    std::vector<int> descriptors_;           // in order, from process::first_free_descriptor
};

/// Runs `program service PROGRAM NAME` (the last two only for ps). Error: fork or memory failed.
Result<Spawned> spawn_service(const std::string& program, StartRecord start);
/// Why a process with this exit status never became a service; empty: it did, and ended for a reason of its own.
std::string why_not_started(int exit_status);

}  // namespace posthorn::supervisor
