// spool/sqlite_vfs.hpp: SQLite's files, through FileOps.
// Shape    one VFS per FileOps, registered under name() while it lives; databases opened with it must be closed before.
// No shared memory: in WAL mode that works only with locking_mode=EXCLUSIVE, and a second connection is refused. That is wanted:
//          SQLite before 3.51.3 has a corruption race that needs one.
// Log      what SQLite writes to the log in order leaves in one piece, at the latest before the sync. The sync that ends a commit can be
//          left to others (LeftToOthers); those of a log that begins anew and of a checkpoint never are.
// Failure  after a failed sync, and after any failed write but for a full disk, nothing more is written through it: what the kernel
//          dropped cannot be made good by asking again. Reading goes on; the process ends and opens again.
#pragma once

#include "spool/file_ops.hpp"

#include <memory>
#include <string>

struct sqlite3_vfs;

namespace posthorn::spool {

class SqliteVfs {
public:
    explicit SqliteVfs(FileOps& files);
    ~SqliteVfs();
    SqliteVfs(SqliteVfs&&) = delete;

    const char* name() const { return name_.c_str(); }
    FileOps& files() { return files_; }
    /// Why writing has ended; 0 while it has not.
    int failed() const { return failed_; }
    const std::string& failed_at() const { return failed_at_; }
    void fail(std::string_view operation, std::string_view name, int error_number);

    /// While it lives, what a commit writes is handed to the kernel and not waited for.
    class LeftToOthers {
    public:
        explicit LeftToOthers(SqliteVfs& vfs) : vfs_(vfs) { vfs_.left_to_others_ = true; }
        ~LeftToOthers() { vfs_.left_to_others_ = false; }
        LeftToOthers(LeftToOthers&&) = delete;

    private:
        SqliteVfs& vfs_;
    };
    bool left_to_others() const { return left_to_others_; }
    /// How long the last sync of a log took.
    std::chrono::steady_clock::duration log_sync_took{0};

private:
    FileOps& files_;
    std::string name_, failed_at_;
    int failed_ = 0;
    bool left_to_others_ = false;
    std::unique_ptr<sqlite3_vfs> vfs_;
};

}  // namespace posthorn::spool
