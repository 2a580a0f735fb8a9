#include "spool/file_ops.hpp"

#include "base/fd.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <system_error>

namespace posthorn::spool {

namespace {

// Octets that are locked, far behind those of any file: the first are SQLite's own.
constexpr off_t owners_octets = 0x40000000;
constexpr off_t owners = 512, readers = 1;

int hold(int fd, short type, off_t start, off_t length)
{
    struct flock range{};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = start;
    range.l_len = length;
    if (::fcntl(fd, F_OFD_SETLK, &range) == 0)
        return 0;
    return errno == EACCES ? EAGAIN : errno;
}

class SystemFile final : public File {
public:
    explicit SystemFile(Fd fd) : fd_(std::move(fd)) {}

    int read(std::uint64_t offset, std::span<char> into, std::size_t& got) override
    {
        got = 0;
        while (got < into.size()) {
            const ssize_t n = ::pread(fd_.get(), into.data() + got, into.size() - got, static_cast<off_t>(offset + got));
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return errno;
            if (n == 0)
                break;
            got += static_cast<std::size_t>(n);
        }
        return 0;
    }

    int write(std::uint64_t offset, std::span<const char> octets) override
    {
        while (!octets.empty()) {
            const ssize_t n = ::pwrite(fd_.get(), octets.data(), octets.size(), static_cast<off_t>(offset));
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return errno;
            if (n == 0)
                return ENOSPC;
            offset += static_cast<std::uint64_t>(n);
            octets = octets.subspan(static_cast<std::size_t>(n));
        }
        return 0;
    }

    int truncate(std::uint64_t size) override { return ::ftruncate(fd_.get(), static_cast<off_t>(size)) == 0 ? 0 : errno; }

    int size(std::uint64_t& size) override
    {
        struct stat status{};
        if (::fstat(fd_.get(), &status) != 0)
            return errno;
        size = static_cast<std::uint64_t>(status.st_size);
        return 0;
    }

    /// fdatasync writes the size too where it changed; only times may be lost. Not repeated after a failure: the kernel may have
    /// dropped the pages, and the second call would report success for what is not there.
    int sync() override { return ::fdatasync(fd_.get()) == 0 ? 0 : errno; }

    /// Conflicts with SQLite's own byte range (the PENDING byte and 511 after it), so that a sqlite3 shell is told "locked", and with
    /// every other open of ours, also within one process: an open file description owns it.
    int lock() override { return hold(fd_.get(), F_WRLCK, owners_octets, owners); }
    int lock_shared() override { return hold(fd_.get(), F_RDLCK, owners_octets + owners, readers); }

    int descriptor() const override { return fd_.get(); }

private:
    Fd fd_;
};

class SystemFiles final : public FileOps {
public:
    explicit SystemFiles(const std::string& directory) : root_(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC))
    {
        if (!root_)
            throw std::system_error(errno, std::generic_category(), "queue directory " + directory);
        // A receiver may look into the incoming folder only; a new queue has no folders yet.
        measured_ = open_folder("incoming");
        if (!measured_)
            measured_ = open_folder("");
    }

    int open(std::string_view name, Open how, std::unique_ptr<File>& file) override
    {
        int flags = O_CLOEXEC | O_NOFOLLOW;
        switch (how) {
        case Open::read_only: flags |= O_RDONLY; break;
        case Open::read_write: flags |= O_RDWR; break;
        case Open::create: flags |= O_RDWR | O_CREAT; break;
        case Open::create_new: flags |= O_RDWR | O_CREAT | O_EXCL; break;
        }
        Fd fd{::openat(root_.get(), std::string(name).c_str(), flags, 0600)};
        if (!fd)
            return errno;
        file = std::make_unique<SystemFile>(std::move(fd));
        return 0;
    }

    int remove(std::string_view name) override { return checked(::unlinkat(root_.get(), std::string(name).c_str(), 0)); }

    int rename(std::string_view from, std::string_view to) override
    {
        return checked(::renameat(root_.get(), std::string(from).c_str(), root_.get(), std::string(to).c_str()));
    }

    int link(std::string_view from, std::string_view to) override
    {
        return checked(::linkat(root_.get(), std::string(from).c_str(), root_.get(), std::string(to).c_str(), 0));
    }

    int make_folder(std::string_view name) override { return checked(::mkdirat(root_.get(), std::string(name).c_str(), 0700)); }

    int list(std::string_view folder, std::vector<Entry>& entries) override
    {
        Fd fd = open_folder(folder);
        if (!fd)
            return errno;
        DIR* stream = ::fdopendir(fd.get());
        if (!stream)
            return errno;
        fd.release();
        const std::time_t now = std::time(nullptr);
        entries.clear();
        for (errno = 0; const dirent* found = ::readdir(stream); errno = 0) {
            struct stat status{};
            if (std::strcmp(found->d_name, ".") == 0 || std::strcmp(found->d_name, "..") == 0 ||
                ::fstatat(::dirfd(stream), found->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
                continue;                                              // gone since
            entries.push_back({found->d_name, std::chrono::seconds{now - status.st_mtime}, S_ISDIR(status.st_mode)});
        }
        const int failure = errno;
        ::closedir(stream);
        return failure;
    }

    int exists(std::string_view name, bool& yes) override
    {
        yes = ::faccessat(root_.get(), std::string(name).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
        return yes || errno == ENOENT ? 0 : errno;
    }

    int set_aside(std::string_view name, std::string_view spare, std::uint64_t most) override
    {
        const std::string from(name), to(spare);
        const Fd fd{::openat(root_.get(), from.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
        struct stat about{};
        if (!fd || ::fstat(fd.get(), &about) != 0)
            return errno;
        if (static_cast<std::uint64_t>(about.st_size) > most)
            return EFBIG;
        if (free_octets() < room_for_spares)
            return ENOSPC;
        if (about.st_nlink != 1 || hold(fd.get(), F_WRLCK, owners_octets, owners + readers) != 0)
            return EBUSY;
        return checked(::renameat2(root_.get(), from.c_str(), root_.get(), to.c_str(), RENAME_NOREPLACE));
    }

    int take_spare(std::string_view spare, std::string_view name, std::unique_ptr<File>& file) override
    {
        const std::string from(spare), to(name);
        Fd fd{::openat(root_.get(), from.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
        if (!fd)
            return errno;
        // Before it has the name, so that the sweep never sees an old file under it that nobody holds.
        if (const int error = hold(fd.get(), F_WRLCK, owners_octets, owners))
            return error;
        if (::renameat2(root_.get(), from.c_str(), root_.get(), to.c_str(), RENAME_NOREPLACE) != 0)
            return errno == ENOENT ? EAGAIN : errno;
        struct stat ours{}, named{};
        if (::fstat(fd.get(), &ours) != 0 || ::fstatat(root_.get(), to.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0)
            return errno;
        if (ours.st_ino != named.st_ino) {                             // between open and lock it went to another, and a new one came in its place
            (void)remove(to);
            return EAGAIN;
        }
        file = std::make_unique<SystemFile>(std::move(fd));
        return 0;
    }

    int sync_folder(std::string_view name) override
    {
        const Fd fd = open_folder(name);
        return fd ? checked(::fsync(fd.get())) : errno;
    }

    std::uint64_t free_octets() override
    {
        // fstatvfs does not take O_PATH on every kernel; and the folder is kept open, so that a lack of descriptors does not look like a lack of room.
        struct statvfs status{};
        if (!measured_ || ::fstatvfs(measured_.get(), &status) != 0)
            return 0;
        return std::uint64_t{status.f_bavail} * status.f_frsize;
    }

private:
    static constexpr std::uint64_t room_for_spares = std::uint64_t{1} << 30;

    static int checked(int result) { return result == 0 ? 0 : errno; }
    Fd open_folder(std::string_view name) const
    {
        return Fd{::openat(root_.get(), name.empty() ? "." : std::string(name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    }

    Fd root_, measured_;
};

}  // namespace

std::unique_ptr<FileOps> system_files(const std::string& directory) { return std::make_unique<SystemFiles>(directory); }

}  // namespace posthorn::spool
