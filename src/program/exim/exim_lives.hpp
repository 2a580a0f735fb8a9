// exim/exim_lives.hpp: whether an Exim works on a spool. Exim's processes stand in their spool directory, whichever configuration named it, and a daemon's
// number may be in exim-daemon.pid there. Others, as a daemon whose pid_file_path leads elsewhere, are found by that folder too. Needs /proc, and the rights to
// look at other users' processes; a process that is not shown is not found.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace posthorn::exim {

/// A process whose program is called exim, exim4, exim-4.98 ..., and that stands in this folder, has a file of it open, or has its number in the folder.
std::optional<pid_t> exim_on(const std::string& spool);

}  // namespace posthorn::exim
