// tables/lmdb.hpp: OpenLDAP LMDB files, name.lmdb.                          lmdb_table(5)
// Shape    one unnamed database; keys and values end in a NUL, as Postfix writes them, or do not: both are tried.
// Reading  without locks and without waiting: a lookup uses the last committed state. LMDB never overwrites that state in the
//          next transaction, only in the one after it; so a lookup during which two were committed is done again.
// Change   a file that was replaced (postmap) is opened anew; one that is written in place is seen at once.
// Errors   a file shorter than its last page is refused: it would end the process with SIGBUS.
#pragma once

#include "tables/table.hpp"

#include <memory>

struct MDB_env;

namespace posthorn::tables {

struct CloseLmdbEnv {
    void operator()(MDB_env* env) const;
};
using LmdbEnv = std::unique_ptr<MDB_env, CloseLmdbEnv>;

std::shared_ptr<Table> open_lmdb(std::string spec, std::string name, Flags flags, Tables& tables);

}  // namespace posthorn::tables
