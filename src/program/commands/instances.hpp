// commands/instances.hpp: the instances of one host, as multi_instance_directories of the first names them.        postfix-wrapper(5)
// Shape    the primary one, then the others in the order of that list.
// Errors   Failure, in postmulti's words.
#pragma once

#include "config/snapshot.hpp"

#include <optional>
#include <string>
#include <vector>

namespace posthorn::commands {

struct Instance {
    std::string config_directory, queue_directory, data_directory, name, group;
    bool enabled = false, primary = false;
};

struct Selection {
    std::optional<std::string> name, group;        // a name, "-" the primary, or a configuration directory; neither: all
    bool matches(const Instance& instance) const;
};

Instance instance_of(const config::Snapshot& snapshot, bool primary);
/// Reads each one's main.cf.
std::vector<Instance> instances(const config::Snapshot& primary);
/// Refuses names, queues, data and configurations that two would share; `changed` is named first.
void check_apart(const std::vector<Instance>& all, const std::string& changed = {});

/// Writes these settings into DIRECTORY/main.cf.
void set_parameters(const std::string& config_directory, const std::vector<std::pair<std::string, std::string>>& settings);

}  // namespace posthorn::commands
