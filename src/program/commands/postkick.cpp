// postkick(1): a request to a service of this instance, as scripts poke qmgr, pickup and flush.
#include "commands/command.hpp"
#include "commands/letters.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "config/param.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace posthorn::commands {

namespace {

constexpr const char* postkick_usage = "usage: postkick [-c config_dir] [-v] class service request";

constexpr config::Param<std::chrono::seconds> application_event_drain_time{.name = "application_event_drain_time",
                                                                           .initial = "100s",
                                                                           .least = std::chrono::seconds(1),
                                                                           .doc = "How long postkick waits until a request was read."};

Result<Fd> reach(const std::string& path)
{
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0)
        return Error{errno_text(errno)};
    if (S_ISFIFO(about.st_mode)) {
        Fd pipe(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
        return pipe ? Result<Fd>(std::move(pipe)) : Error{errno_text(errno)};
    }
    if (!S_ISSOCK(about.st_mode))
        return Error{"neither a socket nor a named pipe"};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return Error{"the path is too long for a socket"};
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return Error{errno_text(errno)};
    return socket;
}

/// The service takes its time to accept, read and close; what is closed too early on our side might never be read.
void wait_until_read(int socket, std::chrono::milliseconds limit)
{
    if (::shutdown(socket, SHUT_WR) != 0)
        return;                                                // a named pipe keeps what was written
    const auto end = std::chrono::steady_clock::now() + limit;
    for (char rest[512];;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        pollfd wanted{socket, POLLIN, 0};
        if (left.count() <= 0 || ::poll(&wanted, 1, static_cast<int>(left.count())) <= 0)
            return;
        if (::read(socket, rest, sizeof rest) <= 0)
            return;
    }
}

int run_postkick(std::span<char*> args)
{
    std::optional<std::string> directory;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), postkick_letters)) > 0;) {
        switch (option) {
        case 'c': directory = ::optarg; break;
        case 'v': break;
        default: throw Failure(postkick_usage, 1);
        }
    }
    const auto words = args.subspan(static_cast<std::size_t>(::optind));
    if (words.size() != 3)
        throw Failure(postkick_usage, 1);
    const std::string kind = words[0], service = words[1];
    const std::string_view request = words[2];
    if (kind.find('/') != kind.npos || kind.starts_with('.') || service.find("..") != service.npos)
        throw Failure(fmt::format("{}/{}: class and service are names, no paths", printable(kind), printable(service)), 1);
    const config::Snapshot snapshot = load_config("postkick", directory);
    const auto limit = snapshot.get(application_event_drain_time);
    auto reached = reach(fmt::format("{}/{}/{}", snapshot.text("queue_directory"), kind, service));
    if (!reached) {
        fmt::print(stderr,
                   "postkick: warning: unable to look up {0}/{1}: {2}\n"
                   "postkick: warning: Cannot contact class {0} service {1} - perhaps the mail system is down\n",
                   printable(kind), printable(service), reached.error().what());
        return 1;
    }
    if (::send(reached->get(), request.data(), request.size(), MSG_NOSIGNAL) < 0 &&
        (errno != ENOTSOCK || ::write(reached->get(), request.data(), request.size()) < 0)) {
        fmt::print(stderr, "postkick: warning: write to {0}/{1}: {2}\n", printable(kind), printable(service), errno_text(errno));
        return 1;
    }
    wait_until_read(reached->get(), limit);
    return 0;
}

}  // namespace

int postkick(std::span<char*> args) { return guarded("postkick", run_postkick, args); }

}  // namespace posthorn::commands
