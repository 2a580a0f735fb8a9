// commands/run_program.hpp: another program, waited for.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::commands {

struct RunResult {
    int status = 1;            // its exit status; 1 where a signal ended it
    int not_started = 0;       // errno of exec
};

/// `program` is looked for in PATH where it has no slash. `environment` is added to ours. Throws Failure where there is no process to be had.
RunResult run_program(const std::string& program, std::vector<std::string> words,
                      std::span<const std::pair<std::string, std::string>> environment = {});

}  // namespace posthorn::commands
