// tables/unix.hpp: unix:passwd.byname, unix:group.byname: does this user, this group exist?         postmap(1), nsswitch.conf(5)
// Reads    /etc/passwd and /etc/group as any other table's file: a confined service has them from the broker, and the C library, which opens
//          them by name, could not. Where nsswitch.conf names further sources, the C library is asked for what the file does not have; it
//          blocks, and what a confined process may not ask is an Error, never "not there". Likewise what the file does not have while
//          nsswitch.conf is there and cannot be read.
#pragma once

#include "tables/table.hpp"

namespace posthorn::tables {

std::shared_ptr<Table> open_unix(std::string spec, std::string name, Flags flags, Tables& tables);
/// The same with another folder than /etc.
std::shared_ptr<Table> open_unix_of(const std::string& folder, std::string spec, const std::string& name, Flags flags, Tables& tables);
/// The files of "unix:NAME".
std::vector<std::string> unix_files(std::string_view name);

}  // namespace posthorn::tables
