// commands/new_instance.hpp: an instance's files, made and taken away.
// Made     main.cf with what it shares with the primary one and what is its own, master.cf (meta_directory/master.cf.proto, or the stock one),
//          its folders. Nothing listens to the network before master_service_disable is changed.
// Removed  what the mail system made, and nothing else: folders with other files stay, and are named. Only where no message is left.
// Errors   Failure.
#pragma once

#include "commands/instances.hpp"

namespace posthorn::commands {

bool has_configuration(const std::string& directory);
void make_instance(const config::Snapshot& primary, const Instance& fresh);
void remove_instance(const Instance& instance);
/// master.cf of `posthorn init`; `smtp` is the first column of its first line.
std::string stock_master_cf(const std::string& smtp);

}  // namespace posthorn::commands
