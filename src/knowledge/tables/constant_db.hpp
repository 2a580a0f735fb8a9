// tables/constant_db.hpp: cdb, read through the mapped file; built whole, never changed.      CDB_README, cdb(5)
#pragma once

#include "tables/table.hpp"

namespace posthorn::tables {

std::shared_ptr<Table> open_cdb(std::string spec, std::string name, Flags flags, Tables& tables);

}  // namespace posthorn::tables
