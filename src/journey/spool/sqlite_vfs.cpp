#include "spool/sqlite_vfs.hpp"

#include <sqlite3.h>

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>

namespace posthorn::spool {

namespace {

bool is_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

struct VfsFile {
    sqlite3_file base;                     // first: SQLite's view of it
    SqliteVfs* vfs;
    std::unique_ptr<File> file;
    std::string name;
    bool folder_synced;                    // its name is durable
    bool locked;
    bool gathers;                          // the log: SQLite writes it in order, 24 octets and a page at a time
    std::string gathered;                  // written by SQLite, not yet by us
    std::uint64_t gathered_at;
    bool begun_anew;                       // its header was written, and is not synced
};

constexpr std::size_t gather_limit = 1 << 20;

VfsFile& self(sqlite3_file* file) { return *reinterpret_cast<VfsFile*>(file); }
SqliteVfs& self(sqlite3_vfs* vfs) { return *static_cast<SqliteVfs*>(vfs->pAppData); }

std::string folder_of(std::string_view name)
{
    const std::size_t slash = name.rfind('/');
    return std::string(slash == name.npos ? std::string_view{} : name.substr(0, slash));
}

int write_through(VfsFile& f, std::uint64_t offset, std::span<const char> octets)
{
    const int error = f.file->write(offset, octets);
    if (error == 0)
        return SQLITE_OK;
    if (is_full(error))
        return SQLITE_FULL;
    f.vfs->fail("write", f.name, error);
    return SQLITE_IOERR_WRITE;
}

/// What was gathered goes to the file, or is forgotten with an error: the transaction it belongs to fails, and the next writes anew.
int put_gathered(VfsFile& f)
{
    if (f.gathered.empty())
        return SQLITE_OK;
    const int code = f.vfs->failed() ? SQLITE_IOERR_WRITE : write_through(f, f.gathered_at, f.gathered);
    f.gathered.clear();
    return code;
}

int close_file(sqlite3_file* file)
{
    put_gathered(self(file));              // of a transaction that nobody was told of: nothing depends on it
    self(file).~VfsFile();
    return SQLITE_OK;
}

int read_file(sqlite3_file* file, void* into, int amount, sqlite3_int64 offset)
{
    const std::span<char> octets(static_cast<char*>(into), static_cast<std::size_t>(amount));
    if (const int code = put_gathered(self(file)); code != SQLITE_OK)
        return code;
    std::size_t got = 0;
    if (self(file).file->read(static_cast<std::uint64_t>(offset), octets, got) != 0)
        return SQLITE_IOERR_READ;
    if (got == octets.size())
        return SQLITE_OK;
    std::memset(octets.data() + got, 0, octets.size() - got);  // SQLite asks for it
    return SQLITE_IOERR_SHORT_READ;
}

int write_file(sqlite3_file* file, const void* from, int amount, sqlite3_int64 offset)
{
    VfsFile& f = self(file);
    if (f.vfs->failed())
        return SQLITE_IOERR_WRITE;
    const std::span<const char> octets(static_cast<const char*>(from), static_cast<std::size_t>(amount));
    const auto at = static_cast<std::uint64_t>(offset);
    if (!f.gathers)
        return write_through(f, at, octets);
    if (f.gathered_at + f.gathered.size() != at || f.gathered.size() + octets.size() > gather_limit)
        if (const int code = put_gathered(f); code != SQLITE_OK)
            return code;
    if (f.gathered.empty())
        f.gathered_at = at;
    f.begun_anew = f.begun_anew || at == 0;
    f.gathered.append(octets.data(), octets.size());
    return SQLITE_OK;
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size)
{
    VfsFile& f = self(file);
    if (f.vfs->failed())
        return SQLITE_IOERR_TRUNCATE;
    if (const int code = put_gathered(f); code != SQLITE_OK)
        return code;
    const int error = f.file->truncate(static_cast<std::uint64_t>(size));
    if (error == 0)
        return SQLITE_OK;
    f.vfs->fail("truncate", f.name, error);
    return SQLITE_IOERR_TRUNCATE;
}

int sync_file(sqlite3_file* file, int)
{
    VfsFile& f = self(file);
    if (f.vfs->failed())
        return SQLITE_IOERR_FSYNC;
    if (const int code = put_gathered(f); code != SQLITE_OK)
        return code;
    // The header of a log that begins anew is synced before the frames behind it: with the old one, what they leave of the old frames
    // would be read as pages that are newer than the database.
    if (f.gathers && f.vfs->left_to_others() && !f.begun_anew && f.folder_synced)
        return SQLITE_OK;
    const auto start = std::chrono::steady_clock::now();
    int error = f.file->sync();
    if (f.gathers)
        f.vfs->log_sync_took = std::chrono::steady_clock::now() - start;
    // The name as well, once per open: an earlier process may have created the file and ended before it had synced the folder.
    if (error == 0 && !f.folder_synced)
        error = f.vfs->files().sync_folder(folder_of(f.name));
    if (error == 0) {
        f.folder_synced = true;
        f.begun_anew = false;
        return SQLITE_OK;
    }
    f.vfs->fail("sync", f.name, error);
    return SQLITE_IOERR_FSYNC;
}

int file_size(sqlite3_file* file, sqlite3_int64* size)
{
    std::uint64_t octets = 0;
    if (const int code = put_gathered(self(file)); code != SQLITE_OK)
        return code;
    if (self(file).file->size(octets) != 0)
        return SQLITE_IOERR_FSTAT;
    *size = static_cast<sqlite3_int64>(octets);
    return SQLITE_OK;
}

/// Any lock of SQLite's is the one lock: this process owns the file until it closes it.
int lock_file(sqlite3_file* file, int)
{
    VfsFile& f = self(file);
    if (f.locked)
        return SQLITE_OK;
    const int error = f.file->lock();
    if (error)
        return error == EAGAIN ? SQLITE_BUSY : SQLITE_IOERR_LOCK;
    f.locked = true;
    return SQLITE_OK;
}

int unlock_file(sqlite3_file*, int) { return SQLITE_OK; }

int check_reserved(sqlite3_file*, int* reserved)
{
    *reserved = 0;
    return SQLITE_OK;
}

int file_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector_size(sqlite3_file*) { return 4096; }
/// A write does not harm what lies beside it in the sector (SQLite's own default for Unix).
int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

const sqlite3_io_methods io_methods{
    .iVersion = 1,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_reserved,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = nullptr,
    .xShmLock = nullptr,
    .xShmBarrier = nullptr,
    .xShmUnmap = nullptr,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int open_file(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags)
{
    file->pMethods = nullptr;
    if (!name)
        return SQLITE_CANTOPEN;            // temporary files: temp_store is memory
    SqliteVfs& owner = self(vfs);
    std::unique_ptr<File> opened;
    int error = owner.files().open(name, flags & SQLITE_OPEN_READONLY ? Open::read_only : Open::read_write, opened);
    if (error == ENOENT && (flags & SQLITE_OPEN_CREATE) && !owner.failed()) {
        error = owner.files().open(name, Open::create, opened);
        if (error && !is_full(error))
            owner.fail("create", name, error);
    }
    if (error)
        return is_full(error) ? SQLITE_FULL : SQLITE_CANTOPEN;
    new (file) VfsFile{
        {&io_methods}, &owner, std::move(opened), name, false, (flags & SQLITE_OPEN_READONLY) != 0, (flags & SQLITE_OPEN_WAL) != 0, {}, 0, false};
    if (out_flags)
        *out_flags = flags;
    return SQLITE_OK;
}

int delete_file(sqlite3_vfs* vfs, const char* name, int sync_folder)
{
    SqliteVfs& owner = self(vfs);
    if (owner.failed())
        return SQLITE_IOERR_DELETE;
    int error = owner.files().remove(name);
    if (error == ENOENT)
        return SQLITE_IOERR_DELETE_NOENT;
    if (error == 0 && sync_folder)
        error = owner.files().sync_folder(folder_of(name));
    if (error == 0)
        return SQLITE_OK;
    owner.fail("remove", name, error);
    return SQLITE_IOERR_DELETE;
}

int access_file(sqlite3_vfs* vfs, const char* name, int, int* result)
{
    bool yes = false;
    if (self(vfs).files().exists(name, yes) != 0)
        return SQLITE_IOERR_ACCESS;
    *result = yes;
    return SQLITE_OK;
}

int full_pathname(sqlite3_vfs*, const char* name, int room, char* out)
{
    if (std::strlen(name) >= static_cast<std::size_t>(room))
        return SQLITE_CANTOPEN;
    std::strcpy(out, name);
    return SQLITE_OK;
}

sqlite3_vfs* system_vfs() { return sqlite3_vfs_find(nullptr); }
int randomness(sqlite3_vfs*, int amount, char* out) { return system_vfs()->xRandomness(system_vfs(), amount, out); }
int sleep_micros(sqlite3_vfs*, int micros) { return system_vfs()->xSleep(system_vfs(), micros); }
int current_time(sqlite3_vfs*, double* now) { return system_vfs()->xCurrentTime(system_vfs(), now); }
int last_error(sqlite3_vfs* vfs, int, char*) { return self(vfs).failed(); }

}  // namespace

SqliteVfs::SqliteVfs(FileOps& files) : files_(files), vfs_(std::make_unique<sqlite3_vfs>())
{
    static std::atomic<unsigned> number = 0;
    name_ = fmt::format("posthorn-{}", ++number);
    sqlite3_initialize();
    *vfs_ = {};
    vfs_->iVersion = 1;
    vfs_->szOsFile = sizeof(VfsFile);
    vfs_->mxPathname = 512;
    vfs_->zName = name_.c_str();
    vfs_->pAppData = this;
    vfs_->xOpen = open_file;
    vfs_->xDelete = delete_file;
    vfs_->xAccess = access_file;
    vfs_->xFullPathname = full_pathname;
    vfs_->xRandomness = randomness;
    vfs_->xSleep = sleep_micros;
    vfs_->xCurrentTime = current_time;
    vfs_->xGetLastError = last_error;
    sqlite3_vfs_register(vfs_.get(), 0);
}

SqliteVfs::~SqliteVfs() { sqlite3_vfs_unregister(vfs_.get()); }

void SqliteVfs::fail(std::string_view operation, std::string_view name, int error_number)
{
    if (failed_)
        return;
    failed_ = error_number;
    failed_at_ = fmt::format("{} {}", operation, name);
}

}  // namespace posthorn::spool
