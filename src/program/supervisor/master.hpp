// supervisor/master.hpp: posthorn-master, as a whole.
#pragma once

#include "config/param.hpp"

#include <string>
#include <vector>

namespace posthorn::supervisor {

struct MasterOptions {
    std::string config_directory;
    /// What runs the services: `PROGRAM service ...`; by default the file posthorn beside this executable.
    std::string services_program;
    /// start-fg: stay in the foreground, standard output may be the log.
    bool foreground = false;
    /// The caller waits until the instance serves (or has failed); else it returns at once.
    bool wait = true;
    int verbose = 0;
    config::ParamLists rooms;
};

/// A configuration is wrong, in the foreground or where it is only judged: to try again does not help (EX_CONFIG of sysexits.h).
inline constexpr int exit_configuration = 78;

/// Reads the configuration, binds, starts; returns the exit status: in the foreground when all has ended, else in the caller when
/// the instance runs (0) or could not be started (1; the reason is on standard error and in the log).
int run_master(const MasterOptions& options);

/// Judges both files and makes the folders, as a start would; what is found goes to standard error and into the log. Exit status.
int check_configuration(const MasterOptions& options);

/// posthorn-master's command line as Postfix's master(8): -c DIR -d -i -s -t -v -w; -n only checks.
int master_main(int argc, char** argv, config::ParamLists rooms);

}  // namespace posthorn::supervisor
