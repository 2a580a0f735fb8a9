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
    int lock() override
    {
        struct flock range{};
        range.l_type = F_WRLCK;
        range.l_whence = SEEK_SET;
        range.l_start = 0x40000000;
        range.l_len = 512;
        if (::fcntl(fd_.get(), F_OFD_SETLK, &range) == 0)
            return 0;
        return errno == EACCES ? EAGAIN : errno;
    }

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
        measured_ = open_folder("incoming");
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

    int sync_folder(std::string_view name) override
    {
        const Fd fd = open_folder(name);
        return fd ? checked(::fsync(fd.get())) : errno;
    }

    std::uint64_t free_octets() override
    {
        // fstatvfs does not take O_PATH on every kernel. A receiver may look into the incoming folder only; and it is kept open, so that
        // a lack of descriptors does not look like a lack of room. A new queue has no folders yet.
        if (!measured_)
            measured_ = open_folder("");
        struct statvfs status{};
        if (!measured_ || ::fstatvfs(measured_.get(), &status) != 0)
            return 0;
        return std::uint64_t{status.f_bavail} * status.f_frsize;
    }

private:
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
