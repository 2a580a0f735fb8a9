#include "deliver/user_file.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "deliver/targets.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace posthorn::deliver {

std::string pack_file(const std::string& path)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    const auto failed = [&](int error) { return error == ENOENT || error == ENOTDIR ? std::string("N") : "E" + errno_text(error); };
    struct stat about{};
    if (!file || ::fstat(file.get(), &about) != 0)
        return failed(errno);
    if (!S_ISREG(about.st_mode))
        return "Enot a regular file";
    std::string text, room(64 * 1024, '\0');
    while (text.size() <= targets_limit) {
        const ssize_t got = ::read(file.get(), room.data(), room.size());
        if (got < 0 && errno != EINTR)
            return failed(errno);
        if (got == 0)
            break;
        if (got > 0)
            text.append(room, 0, static_cast<std::size_t>(got));
    }
    return fmt::format("F{} {} {}", about.st_uid, (about.st_mode & S_IWOTH) != 0 ? 1 : 0, text);
}

Result<std::optional<ReadFile>> unpack_file(std::string_view packed)
{
    if (packed == "N")
        return std::optional<ReadFile>{};
    if (packed.starts_with('E'))
        return Error{std::string(packed.substr(1))};
    const std::size_t first = packed.find(' '), second = first == packed.npos ? first : packed.find(' ', first + 1);
    const auto owner = second == packed.npos || !packed.starts_with('F') ? std::nullopt : parse_number(packed.substr(1, first - 1));
    if (!owner)
        return Error{"no answer"};
    ReadFile file;
    file.owner = static_cast<uid_t>(*owner);
    file.writable_by_others = packed.substr(first + 1, second - first - 1) == "1";
    file.text = packed.substr(second + 1);
    return std::optional<ReadFile>(std::move(file));
}

}  // namespace posthorn::deliver
