#include "send/content.hpp"

#include <sys/stat.h>

#include <cerrno>

namespace posthorn::send {

Result<Content> Content::of(Fd file)
{
    struct stat status{};
    if (::fstat(file.get(), &status) != 0)
        return system_error("message file", errno);
    Content content;
    content.size_ = static_cast<std::uint64_t>(status.st_size);
    content.file_ = std::move(file);
    return content;
}

Result<std::size_t> Content::read(std::uint64_t offset, std::span<char> room) const
{
    while (true) {
        const ssize_t got = ::pread(file_.get(), room.data(), room.size(), static_cast<off_t>(offset));
        if (got >= 0)
            return static_cast<std::size_t>(got);
        if (errno != EINTR)
            return system_error("message file", errno);
    }
}

}  // namespace posthorn::send
