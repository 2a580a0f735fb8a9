#include "tables/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <unistd.h>

#include <cerrno>

namespace posthorn::tables {

Result<Fd> DirectOpener::open(const std::string& path)
{
    Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};   // not held up by a FIFO of that name
    if (!fd)
        return system_error("open " + path, errno);
    if (struct ::stat status{}; ::fstat(fd.get(), &status) == 0 && S_ISDIR(status.st_mode))
        return system_error("open " + path, EISDIR);
    return fd;
}

Result<FileStamp> DirectOpener::stamp(const std::string& path)
{
    struct ::stat status{};
    if (::stat(path.c_str(), &status) != 0)
        return system_error("open " + path, errno);
    const auto modified = std::chrono::seconds{status.st_mtim.tv_sec} +
                          std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::nanoseconds{status.st_mtim.tv_nsec});
    return FileStamp{status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size), WallTime{modified}};
}

Result<std::string> read_all(int fd)
{
    struct ::stat status{};
    if (::fstat(fd, &status) != 0)
        return system_error("fstat", errno);
    if (S_ISDIR(status.st_mode))
        return system_error("read", EISDIR);
    if (static_cast<std::uint64_t>(status.st_size) > max_table_octets)
        return system_error("read", EFBIG);
    std::string text;
    text.resize(static_cast<std::size_t>(status.st_size));
    std::size_t at = 0;
    for (;;) {
        if (at == text.size()) {
            if (text.size() >= max_table_octets)
                return system_error("read", EFBIG);
            text.resize(text.size() + 4096);
        }
        ::ssize_t got = ::pread(fd, text.data() + at, text.size() - at, static_cast<::off_t>(at));
        if (got < 0 && errno == ESPIPE)
            got = ::read(fd, text.data() + at, text.size() - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return system_error("read", errno);
        if (got == 0)
            break;
        at += static_cast<std::size_t>(got);
    }
    text.resize(at);
    return text;
}

Result<Fd> copy_in_memory(int fd)
{
    if (::lseek(fd, 0, SEEK_SET) < 0)
        return system_error("lseek", errno);
    TRY(const std::string octets, read_all(fd));
    Fd copy{::memfd_create("table", MFD_CLOEXEC)};
    if (!copy)
        return system_error("memfd_create", errno);
    for (std::string_view rest = octets; !rest.empty();) {
        const ::ssize_t put = ::write(copy.get(), rest.data(), rest.size());
        if (put < 0)
            return system_error("write", errno);
        rest.remove_prefix(static_cast<std::size_t>(put));
    }
    return copy;
}

}  // namespace posthorn::tables
