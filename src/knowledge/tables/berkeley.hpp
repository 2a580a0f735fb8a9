// tables/berkeley.hpp: hash and btree, Berkeley DB files as Postfix's postmap writes and reads them.     DATABASE_README
// Library  opened when a table names the type; its version is the one the header is of.
// Locks    flock() on the file, as Postfix does: shared for a look-up, exclusive for who writes into it. While it is being written the answer
//          is an Error (try later): nothing here waits. Our own postmap replaces the file instead.
#pragma once

#include "tables/table.hpp"

namespace posthorn::tables {

std::shared_ptr<Table> open_hash(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_btree(std::string spec, std::string name, Flags flags, Tables& tables);

/// What opening a table does first, for processes that cannot do so later.
void open_berkeley_library();

}  // namespace posthorn::tables
