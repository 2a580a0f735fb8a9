// supervisor/loaded.hpp: both configuration files, read and judged as a whole.
// Errors   all that were found, each with file, line and parameter or service; then nothing of it is used.
#pragma once

#include "config/master_cf.hpp"
#include "config/snapshot.hpp"
#include "supervisor/file_access.hpp"
#include "supervisor/layout.hpp"
#include "supervisor/process_table.hpp"

#include <expected>
#include <string>
#include <vector>

namespace posthorn::supervisor {

struct Loaded {
    config::Snapshot snapshot;
    config::MasterCf master_cf;
    ProcessTable table;
    FileAccess files;
    Layout layout;
    std::vector<std::string> warnings;
};

/// `rooms`: the parameter lists of everything that reads configuration; what is in none of them and in none of Postfix's is warned of.
std::expected<Loaded, std::vector<std::string>> load_configuration(const std::string& config_directory, config::ParamLists rooms);

}  // namespace posthorn::supervisor
