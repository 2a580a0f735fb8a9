// spool/salvage.hpp: a new database from a damaged one.
// Reads    pages, not SQL: the log's committed frames over the file's pages; every leaf that the pointer map calls live is taken for
//          itself, so that a lost root or inner page loses nothing but what lies in it. Rows are told apart by their columns. Freed pages
//          are left alone: what was delivered must not come back.
// Checks   envelopes parse, inline content has its hash, content files have their size.
// Keeps    a message whose content is lost stays, on hold, so that its sender can be told. The damaged files stay under a new name.
// Order    the new database is complete and synced before the old one gives up its name; an interruption is finished at the next start.
#pragma once

#include "base/clock.hpp"
#include "spool/spool.hpp"
#include "spool/sqlite_vfs.hpp"

#include <string>

namespace posthorn::spool {

/// Throws Failed when the new database cannot be written.
void salvage(SqliteVfs& vfs, const std::string& database, std::uint32_t node, WallTime now, Opened& report);

/// After an interruption: puts a complete new database in the place of the damaged one; removes an incomplete one.
void finish_salvage(FileOps& files, const std::string& database);

}  // namespace posthorn::spool
