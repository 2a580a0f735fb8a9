#include "supervisor/instance_lock.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

namespace posthorn::supervisor {

namespace {
std::string path_in(const std::string& queue_directory) { return queue_directory + "/pid/master.pid"; }
}  // namespace

std::optional<pid_t> running_instance(const std::string& queue_directory)
{
    const Fd file(::open(path_in(queue_directory).c_str(), O_RDONLY | O_CLOEXEC));
    if (!file || ::flock(file.get(), LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return {};
    char text[64] = "";
    const ssize_t count = ::read(file.get(), text, sizeof text - 1);
    const auto pid = parse_number(trim(std::string_view(text, count > 0 ? static_cast<std::size_t>(count) : 0)));
    // Locked, but the number is not written yet: it is starting.
    return pid ? std::optional(static_cast<pid_t>(*pid)) : std::optional<pid_t>(0);
}

Result<InstanceLock> InstanceLock::take(const std::string& queue_directory)
{
    const std::string path = path_in(queue_directory);
    Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file)
        return system_error("open lock file " + path, errno);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? Error{"the Postfix mail system is already running"} : system_error("lock " + path, errno);
    if (::ftruncate(file.get(), 0) != 0)
        return system_error("truncate " + path, errno);
    return InstanceLock(std::move(file));
}

Result<void> InstanceLock::write_pid() const
{
    const std::string text = fmt::format("{:>10}\n", ::getpid());
    if (::ftruncate(file_.get(), 0) != 0 || ::pwrite(file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
        return system_error("write pid/master.pid", errno);
    return {};
}

}  // namespace posthorn::supervisor
