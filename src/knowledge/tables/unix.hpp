// tables/unix.hpp: the user database of the system.
#pragma once

#include "tables/table.hpp"

namespace posthorn::tables {

std::shared_ptr<Table> open_unix(std::string spec, std::string name, Flags flags, Tables& tables);

}  // namespace posthorn::tables
