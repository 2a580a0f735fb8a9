// spool/opening.hpp: from whatever a crash left to an open queue.
// In order   the lock; a salvage that was interrupted is finished; the log is written anew; the database is opened, its schema brought
//            up; where it is damaged, it is set aside and salvaged; orphans are swept.
// The log    is copied and synced before it is trusted: after a failed sync its pages may be in the kernel's cache and not on the disk,
//            and the cache says "clean". A checkpoint from such a log, cut off by a power loss, would leave half of it in the database.
#pragma once

#include "observe/log.hpp"
#include "spool/ledger.hpp"
#include "spool/spool.hpp"

namespace posthorn::spool {

struct Opening {
    std::unique_ptr<File> lock;
    std::unique_ptr<SqliteVfs> vfs;
    std::unique_ptr<Ledger> ledger;
    std::vector<std::unique_ptr<File>> logs;           // the log, opened once for each sync that may be under way
    Opened opened;
};

Result<Opening> open_queue(FileOps& files, const Options& options, const Clock& clock, const observe::Log& log);

/// Asks the next open_queue() to look at every page. Failures are left: it would find most damage by itself.
void mark_damaged(FileOps& files);

/// How many messages the queue in this directory holds, while no qmgr has it open; 0 where there is none. For tools.
Result<std::uint64_t> messages_at_rest(const std::string& directory);

inline constexpr std::string_view lock_name = "spool.lock";
inline constexpr std::string_view damaged_name = "spool.damaged";

}  // namespace posthorn::spool
