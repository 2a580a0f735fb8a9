// services/spawn_line.hpp: the arguments of a spawn line of master.cf.                                                       spawn(8)
//     policy unix - n n - 10 spawn user=nobody:nogroup argv=/usr/bin/policyd --verbose
// Shape    user=NAME[:GROUP] and argv=PROGRAM WORDS..., the latter last; the program by its path, or looked for in /usr/bin and /bin.
// Rule     neither root nor mail_owner, neither the group of root nor that of mail_owner: a command that is broken into shall not be the mail system.
// Errors   what is wrong with which argument; the service does not start.
#pragma once

#include "base/error.hpp"
#include "process/command.hpp"

#include <span>
#include <string>
#include <vector>

namespace posthorn::services {

struct SpawnLine {
    std::string user, group;  // group empty: the user's
    std::vector<std::string> words;  // argv
};
Result<SpawnLine> parse_spawn_line(std::span<const std::string> arguments);

/// The ids by the system's tables. `root`: whoever starts it can become another user: checked against the rule. Else only who runs this can be meant.
Result<process::RunAs> run_as(const SpawnLine& line, process::RunAs mail_owner, bool root);

/// What `words` has in front, as a path.
Result<std::string> program_path(std::string_view name, const std::string& root = "");

/// export_environment: names are handed on from `environment` ("NAME=value", null at its end), "name=value" is set. With a PATH in any case.
std::vector<std::string> exported(std::string_view export_environment, char* const* environment);

}  // namespace posthorn::services
