#include "migrate/queue_folder.hpp"

#include "base/fd.hpp"
#include "supervisor/instance_lock.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace posthorn::migrate {

namespace fs = std::filesystem;

AsMailOwner::AsMailOwner(const supervisor::Identity& owner) : changed_(::geteuid() == 0)
{
    if (changed_) {
        ::setfsgid(owner.gid);
        ::setfsuid(owner.uid);
    }
}

AsMailOwner::~AsMailOwner()
{
    if (changed_) {
        ::setfsuid(0);
        ::setfsgid(0);
    }
}

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

Result<void> must_be_stopped(const std::string& queue_directory)
{
    if (const auto running = supervisor::running_instance(queue_directory))
        return Error{fmt::format("a mail system runs on {} (process {}): stop it first", queue_directory, *running)};
    return {};
}

}  // namespace posthorn::migrate
