#include "dns/watched_file.hpp"

#include <sys/stat.h>

namespace posthorn::dns {

std::optional<std::ifstream> WatchedFile::changed()
{
    const SteadyTime now = clock_.steady();
    if (stamp_ && now - looked_ < std::chrono::seconds(1))
        return std::nullopt;
    looked_ = now;
    struct stat info{};
    if (::stat(path_.c_str(), &info) != 0)
        return std::nullopt;
    const Stamp stamp{info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_size, static_cast<std::int64_t>(info.st_ino)};
    std::ifstream file(path_);
    if (stamp == stamp_ || !file)
        return std::nullopt;
    stamp_ = stamp;
    return file;
}

}  // namespace posthorn::dns
