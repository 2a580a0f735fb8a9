#include "migrate/queue_folder.hpp"

#include "base/fd.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace posthorn::migrate {

namespace fs = std::filesystem;

Result<std::vector<Found>> files_of_queue(const std::string& queue_directory, const std::string& queue)
{
    std::vector<Found> found;
    const std::string folder = queue_directory + "/" + queue;
    std::error_code trouble;
    if (!fs::exists(folder, trouble))
        return found;
    fs::recursive_directory_iterator at(folder, trouble), end;
    for (; !trouble && at != end; at.increment(trouble)) {
        std::error_code gone;
        if (at->is_regular_file(gone) && !at->is_symlink(gone))
            found.push_back({queue, at->path().filename().string(), at->path().string()});
        if (at.depth() > 8)
            at.disable_recursion_pending();
    }
    if (trouble)
        return Error{fmt::format("read {}: {}", folder, trouble.message())};
    std::ranges::sort(found, {}, &Found::name);
    return found;
}

Result<FileRead> read_regular_file(const std::string& path, std::uint64_t most)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    FileRead read;
    if (!file || ::fstat(file.get(), &read.about) != 0)
        return system_error("open " + path, errno);
    if (!S_ISREG(read.about.st_mode))
        return Error{"not a regular file"};
    // Not mapped: a sector that cannot be read, or a file that shrinks, would end the whole run by a signal.
    std::vector<char> piece(256 * 1024);
    for (;;) {
        const ssize_t got = ::read(file.get(), piece.data(), piece.size());
        if (got < 0)
            return system_error("read " + path, errno);
        if (got == 0)
            return read;
        if (read.octets.size() + static_cast<std::size_t>(got) > most)
            return Error{fmt::format("larger than {} octets", most)};
        read.octets.append(piece.data(), static_cast<std::size_t>(got));
    }
}

Result<void> write_all(int file, std::string_view octets, const std::string& path)
{
    while (!octets.empty()) {
        const ssize_t put = ::write(file, octets.data(), octets.size());
        if (put < 0)
            return system_error("write " + path, errno);
        octets.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
}

Result<void> make_folder(const std::string& path)
{
    if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST)
        return {};
    return system_error("create " + path, errno);
}

Result<void> sync_folder(const std::string& path)
{
    const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || ::fsync(folder.get()) != 0)
        return system_error("sync " + path, errno);
    return {};
}

}  // namespace posthorn::migrate
