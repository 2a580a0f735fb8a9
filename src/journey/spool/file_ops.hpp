// spool/file_ops.hpp: every file operation of the spool. SQLite comes here through its VFS (sqlite_vfs.hpp), content files directly.
// Shape    names are relative to the queue directory ("spool.db", "incoming/4gDq..."). One level of folders.
// Durable  file data after File::sync(); names (create, remove, link, rename) after sync_folder() of their folder. Nothing else
//          is promised, and the crash test takes away everything that was not promised.
// Errors   errno values; 0 is success. Tests record, fail and tear these operations.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::spool {

class File {
public:
    virtual ~File() = default;
    /// Reads up to into.size() octets; `got` is less only at the end of the file.
    virtual int read(std::uint64_t offset, std::span<char> into, std::size_t& got) = 0;
    virtual int write(std::uint64_t offset, std::span<const char> octets) = 0;
    virtual int truncate(std::uint64_t size) = 0;
    virtual int size(std::uint64_t& size) = 0;
    virtual int sync() = 0;
    /// Keeps other processes out until the file is closed: `exclusive` for the owner of a database or the writer of a content file.
    /// EAGAIN: somebody else holds it.
    virtual int lock() = 0;
    /// For a reader: until this description is closed, here and in every process it was passed to, nobody sets the file aside.
    virtual int lock_shared() = 0;
    /// For passing to another process; -1 where there is none.
    virtual int descriptor() const { return -1; }
};

enum class Open { read_only, read_write, create, create_new };

struct Entry {
    std::string name;
    std::chrono::seconds age{0};           // since the last change
    bool folder = false;
};

class FileOps {
public:
    virtual ~FileOps() = default;
    virtual int open(std::string_view name, Open how, std::unique_ptr<File>& file) = 0;
    virtual int remove(std::string_view name) = 0;
    virtual int rename(std::string_view from, std::string_view to) = 0;
    virtual int link(std::string_view from, std::string_view to) = 0;
    virtual int make_folder(std::string_view name) = 0;
    virtual int list(std::string_view folder, std::vector<Entry>& entries) = 0;
    virtual int exists(std::string_view name, bool& yes) = 0;
    /// A file that is done with becomes `spare`, to be written over. EEXIST: there is such a spare. EBUSY: somebody reads or writes it, or it has
    /// another name as well. EFBIG: it is larger than `most`. ENOSPC: room is too scarce to keep spares.
    virtual int set_aside(std::string_view name, std::string_view spare, std::uint64_t most) = 0;
    /// The other way round: the spare under a name of its own, open and locked, with its old octets. ENOENT: there is none. EAGAIN: somebody was faster.
    virtual int take_spare(std::string_view spare, std::string_view name, std::unique_ptr<File>& file) = 0;
    /// What another process wrote and synced under this name belongs to the queue from here on: for who keeps it elsewhere as well.
    virtual int take_in(std::string_view) { return 0; }
    /// "" is the queue directory itself.
    virtual int sync_folder(std::string_view name) = 0;
    virtual std::uint64_t free_octets() = 0;
};

/// The real ones. Throws std::system_error when the directory cannot be opened.
std::unique_ptr<FileOps> system_files(const std::string& directory);

}  // namespace posthorn::spool
