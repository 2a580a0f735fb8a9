#include "supervisor/service_manager.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"

#include <fmt/format.h>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace posthorn::supervisor {

ServiceManager ServiceManager::taken_from_environment()
{
    ServiceManager made;
    const char* const given = std::getenv("NOTIFY_SOCKET");
    made.name_ = given ? given : "";
    ::unsetenv("NOTIFY_SOCKET");
    return made;
}

Result<void> ServiceManager::stopping(std::chrono::seconds more) const
{
    return tell(fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", std::chrono::microseconds(more).count()));
}

Result<void> ServiceManager::tell(std::string_view state) const
{
    sockaddr_un place{.sun_family = AF_UNIX, .sun_path = {}};
    if (name_.size() < 2 || name_.size() >= sizeof place.sun_path || (name_.front() != '/' && name_.front() != '@'))
        return {};
    std::ranges::copy(name_, place.sun_path);
    if (name_.front() == '@')
        place.sun_path[0] = '\0';
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const timeval patience{.tv_sec = 5, .tv_usec = 0};             // of who does not read it nobody waits for ever
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&place),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size())) < 0)
        return system_error(fmt::format("NOTIFY_SOCKET {}", printable(name_, true)), errno);
    return {};
}

}  // namespace posthorn::supervisor
