// process/confine.hpp: takes away, for good, what a service does not need.
// Order    limits, root folder, groups, user, capabilities, NoNewPrivs, Landlock, system-call filter (all threads).
// Root     needed for user, groups, root folder and the bounding set; without it those are left out, and `left_out` says which.
// Commands who starts programs as other users (May::start_commands) keeps the capabilities for that, whoever it is then; the rest is as Postfix's
//          spawn(8) hands it on: a program that is set-gid, or that needs other system calls, works.
// Threads  none but the caller's: the others would not be bound (Landlock, capabilities). Those that begin afterwards are.
// Errors   exceptions: a service that cannot be confined must not start.
#pragma once

#include "process/powers.hpp"

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace posthorn::process {

/// Where the powers end: absolute paths, ids. Ids are obeyed only when the process is root.
struct Place {
    std::string queue_directory;
    std::string data_directory;
    uid_t uid = 0;
    gid_t gid = 0;
    bool chroot = false;                   // the column of master.cf
};

struct Confined {
    int landlock = 0;                      // version of the kernel's interface; 0: none
    bool chrooted = false;
    bool filtered = false;                 // false only in builds with sanitizers, which need calls of their own
    std::vector<std::string> left_out;     // "user", "root folder": the process is not root
};

/// The version of Landlock that this kernel offers; 0: none.
int landlock_version();

/// Those that /etc/group puts the user into, as Postfix's daemons have them. None of root's.
std::vector<gid_t> groups_of(uid_t uid);

/// More descriptors (up to the hard limit, as root up to `descriptors`), no core dumps. Also for the supervisor.
void set_limits(unsigned descriptors);

Confined confine(const Place& place, const Confinement& confinement);

/// The two last steps alone, for tests and for children that are no services.
void restrict_files(const Place& place, const Confinement& confinement);
bool filter_system_calls(Powers powers);

}  // namespace posthorn::process
