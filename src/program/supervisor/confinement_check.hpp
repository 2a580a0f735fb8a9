// supervisor/confinement_check.hpp: `posthorn confinement-check`: what the services of an instance have given up, asked of them.
// Way      every process of the loaded configuration is started as the supervisor starts it, but for its sockets, and ends when it has confined
//          itself and tried what is forbidden (process/refusals.hpp). A running instance is not touched.
// Report   one line per process and fact on standard output: "smtpd smtp/inet: uid 101 ...", "smtpd smtp/inet: execve: Operation not permitted".
// Exit     0: nothing was allowed that is not among the powers; 1: something was, or a service did not come so far.
#pragma once

#include "supervisor/master.hpp"

#include <span>
#include <string>

namespace posthorn::supervisor {

/// `wanted`: programs or keys of lines ("smtpd", "smtp/unix"); none: all of them.
int check_confinement(const MasterOptions& options, std::span<const std::string> wanted);

}  // namespace posthorn::supervisor
