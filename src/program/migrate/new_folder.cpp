#include "migrate/new_folder.hpp"

#include "base/fd.hpp"
#include "catalogue/catalogue.hpp"
#include "migrate/queue_folder.hpp"
#include "supervisor/loaded.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace posthorn::migrate {

NewFolder::NewFolder(const std::string& to) : to_(std::filesystem::absolute(to).lexically_normal().string())
{
    while (to_.size() > 1 && to_.ends_with('/'))
        to_.pop_back();
    beside_ = fmt::format("{}.{}.new", to_, ::getpid());
}

NewFolder::~NewFolder()
{
    if (!landed_) {
        std::error_code ignored;
        std::filesystem::remove_all(beside_, ignored);
    }
}

Result<void> NewFolder::is_free() const
{
    struct stat about{};
    if (::lstat(to_.c_str(), &about) == 0)
        return Error{fmt::format("{} exists: nothing was written", to_)};
    return {};
}

Result<void> NewFolder::would_start(const std::string& made_of) const
{
    const auto loaded = supervisor::load_configuration(beside_, catalogue::all_parameters());
    if (loaded)
        return {};
    std::string reasons;
    for (const std::string& reason : loaded.error())
        reasons += (reasons.empty() ? "" : "; ") + reason;
    return Error{fmt::format("what was made of {} would not start: {}", made_of, reasons)};
}

Result<void> NewFolder::land()
{
    if (::rename(beside_.c_str(), to_.c_str()) != 0)
        return system_error(fmt::format("rename {} to {}", beside_, to_), errno);
    landed_ = true;
    return sync_folder(std::filesystem::path(to_).parent_path().string());
}

Result<void> write_new_file(const std::string& path, std::string_view octets, const struct stat& like)
{
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file)
        return system_error("create " + path, errno);
    while (!octets.empty()) {
        const ssize_t put = ::write(file.get(), octets.data(), octets.size());
        if (put < 0)
            return system_error("write " + path, errno);
        octets.remove_prefix(static_cast<std::size_t>(put));
    }
    if (::geteuid() == 0 && ::fchown(file.get(), like.st_uid, like.st_gid) != 0)
        return system_error("set the owner of " + path, errno);
    if (::fchmod(file.get(), like.st_mode & 07777) != 0 || ::fsync(file.get()) != 0)
        return system_error("write " + path, errno);
    // An index older than its source is warned of.
    const timespec times[] = {like.st_atim, like.st_mtim};
    if (::futimens(file.get(), times) != 0)
        return system_error("set the time of " + path, errno);
    return {};
}

}  // namespace posthorn::migrate
