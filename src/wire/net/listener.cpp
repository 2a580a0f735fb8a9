#include "net/listener.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <optional>

namespace posthorn::net {

namespace {

/// How long the loop rests when descriptors or memory are gone, and how many it takes before others get their turn.
constexpr std::chrono::milliseconds rest{100};
constexpr int accepts_per_turn = 64;

}  // namespace

int listen_backlog()
{
    std::ifstream file("/proc/sys/net/core/somaxconn");
    int backlog = 0;
    return file >> backlog && backlog > 0 ? backlog : 128;
}

Result<Fd> listen(Endpoint endpoint, int backlog, unsigned unix_mode)
{
    sockaddr_storage raw{};
    const socklen_t length = endpoint.to(raw);
    if (length == 0)
        return system_error("listen " + endpoint.text(), ENAMETOOLONG);
    Fd fd(::socket(raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd)
        return system_error("socket", errno);
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (raw.ss_family == AF_INET6)
        ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (endpoint.is_unix()) {
        struct stat old{};
        if (::lstat(endpoint.path.c_str(), &old) == 0 && (S_ISSOCK(old.st_mode) || S_ISFIFO(old.st_mode)))
            ::unlink(endpoint.path.c_str());
    }
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&raw), length) != 0)
        return system_error("bind " + endpoint.text(), errno);
    if (endpoint.is_unix() && ::chmod(endpoint.path.c_str(), unix_mode) != 0)
        return system_error("chmod " + endpoint.path, errno);
    if (::listen(fd.get(), backlog) != 0)
        return system_error("listen " + endpoint.text(), errno);
    return fd;
}

Endpoint bound_at(const Fd& listening)
{
    sockaddr_storage raw{};
    socklen_t length = sizeof raw;
    if (::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&raw), &length) != 0)
        return {};
    return Endpoint::from(raw, length);
}

struct Listener::Core {
    Core(Executor executor, Fd listening, Handler on_connection, Trouble on_trouble, std::string last_words)
        : endpoint(bound_at(listening)), descriptor(executor, listening.get()), handler(std::move(on_connection)), trouble(std::move(on_trouble)),
          farewell(std::move(last_words)), sessions(executor), accepting(executor)
    {
        (void)listening.release();
        descriptor.native_non_blocking(true);
        const int on = 1;
        ::setsockopt(descriptor.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);      // for all it accepts; refused by unix sockets
        keep_one_back();
    }

    awaitable<void> accept_loop()
    {
        while (wanted && !co_await cancelled()) {
            const auto [error] = co_await descriptor.async_wait(asio::posix::descriptor_base::wait_read, asio::as_tuple(use_awaitable));
            if (error)
                continue;
            if (!accept_some())
                co_await sleep_for(rest);
        }
        running = false;
    }

    /// False: there is a shortage, and somebody waits.
    bool accept_some()
    {
        keep_one_back();
        for (int i = 0; i < accepts_per_turn && wanted; ++i) {
            sockaddr_storage raw{};
            socklen_t length = sizeof raw;
            Fd fd(::accept4(descriptor.native_handle(), reinterpret_cast<sockaddr*>(&raw), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (fd) {
                sessions.spawn(handler(adopt_stream(descriptor.get_executor(), std::move(fd), Endpoint::from(raw, length))));
                continue;
            }
            switch (errno) {
            case EMFILE:
            case ENFILE:
            case ENOBUFS:
            case ENOMEM:
                complain(errno);
                if (!turn_away())
                    return false;
                continue;
            case EAGAIN: return true;
            default: continue;                                        // a connection that was gone before we came (RFC 1122 ICMP errors)
            }
        }
        return true;
    }

    void complain(int failure)
    {
        const auto now = std::chrono::steady_clock::now();
        if (!trouble || (complained && now - *complained < std::chrono::seconds{1}))
            return;
        complained = now;
        trouble(Error{"accept: " + errno_text(failure), "4.3.2"});
    }

    void keep_one_back()
    {
        if (!farewell.empty() && !spare)
            spare = Fd(::fcntl(descriptor.native_handle(), F_DUPFD_CLOEXEC, 0));
    }

    /// False: nothing can be done for whoever waits.
    bool turn_away()
    {
        if (!spare)
            return false;
        spare.reset();
        {
            const Fd fd(::accept4(descriptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (fd)
                (void)::send(fd.get(), farewell.data(), farewell.size(), MSG_NOSIGNAL);   // a new connection has room for a line
        }
        keep_one_back();
        return true;
    }

    void stop()
    {
        wanted = false;
        descriptor.cancel();
    }

    Endpoint endpoint;
    asio::posix::stream_descriptor descriptor;
    Handler handler;
    Trouble trouble;
    std::string farewell;
    Fd spare;                               // for that
    std::optional<std::chrono::steady_clock::time_point> complained;
    TaskGroup sessions, accepting;
    bool wanted = false, running = false;
};

Listener::Listener(Executor executor, Fd listening, Handler handler, Trouble trouble, std::string farewell)
    : core_(std::make_unique<Core>(std::move(executor), std::move(listening), std::move(handler), std::move(trouble), std::move(farewell)))
{
}

Listener::~Listener() = default;

void Listener::start()
{
    core_->wanted = true;
    if (!core_->running) {
        core_->running = true;
        core_->accepting.spawn(core_->accept_loop());
    }
}

void Listener::pause() { core_->stop(); }

awaitable<void> Listener::drain()
{
    core_->stop();
    co_await core_->accepting.close();
    co_await core_->sessions.drained();
}

awaitable<void> Listener::close()
{
    core_->stop();
    co_await core_->accepting.close();
    co_await core_->sessions.close();
}

std::size_t Listener::sessions() const { return core_->sessions.size(); }

Endpoint Listener::endpoint() const { return core_->endpoint; }

}  // namespace posthorn::net
