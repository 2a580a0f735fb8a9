// supervisor/file_access.hpp: the broker's rule and its act.
// Rule     a path is granted when the value of a written or default parameter names it: alone ("/etc/x.pem"), as a list's "/file",
//          or behind a table type ("hash:/etc/aliases", then also with the suffix of that type). Parameters that name folders or
//          programs grant nothing, nor do paths that leave through "..".
// Lists    a list's "/file" may name tables and further files: those are granted too, as the file is when the configuration is loaded.
//          Only where nobody but root and who runs the broker could have written it: what a service writes must not name files.
// Sources  the file of a database's parameters names tables and files too: where it says which domains are asked about, or what is behind a cache.
// Act      opens read-only, regular files only, and remembers what it was, so that a change is seen.
// Trust    the asking service may be hostile: it learns nothing about other paths (one answer for all of them).
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"
#include "config/master_cf.hpp"
#include "config/snapshot.hpp"

#include <sys/stat.h>

#include <set>
#include <span>
#include <string>
#include <string_view>

namespace posthorn::supervisor {

class FileAccess {
public:
    FileAccess() = default;
    /// Of main.cf, of master.cf's -o options, and of the defaults of Postfix's parameters that name files.
    static FileAccess from(const config::Snapshot& snapshot, std::span<const config::ServiceLine> services);

    /// Adds what one value names. Public for tests.
    void grant_value(std::string_view parameter, std::string_view value);
    /// Adds what the files name that are granted so far.
    void follow_lists();
    bool granted(const std::string& path) const { return paths_.contains(path); }
    std::size_t size() const { return paths_.size(); }
    const std::set<std::string>& paths() const { return paths_; }

private:
    std::set<std::string> paths_;
    std::set<std::string> lists_;               // named alone: such a file may be a list
    std::set<std::string> sources_;             // of these also, files of parameters
};

/// What a file was when it was opened: another inode, size, or time of change means that it changed.
struct FileIdentity {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    timespec modified{}, changed{};
    bool there = false;
    bool operator==(const FileIdentity& other) const;
};
FileIdentity identity_of(const std::string& path);

struct OpenedFile {
    Fd file;
    FileIdentity identity;
};
/// Error: "open PATH: No such file or directory", or that it is no regular file.
Result<OpenedFile> open_for_service(const std::string& path);

}  // namespace posthorn::supervisor
