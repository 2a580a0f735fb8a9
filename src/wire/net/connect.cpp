#include "net/connect.hpp"

#include <fmt/format.h>

#include <netinet/tcp.h>

#include <cerrno>

namespace posthorn::net {

namespace {

Error refused(int error_number) { return Error{errno_text(error_number), "4.4.1"}; }

std::optional<Error> bind_source(const Fd& fd, const Endpoint& endpoint, const ConnectOptions& options)
{
    if (!options.bind || endpoint.is_unix() || options.bind->is_v6() != endpoint.ip.is_v6())
        return std::nullopt;
    sockaddr_storage raw{};
    const socklen_t length = Endpoint(*options.bind, 0).to(raw);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&raw), length) != 0 && options.bind_enforced)
        return Error{fmt::format("bind {}: {}", options.bind->text(), errno_text(errno)), "4.4.0"};
    return std::nullopt;
}

}  // namespace

awaitable<Result<std::unique_ptr<Stream>>> connect(Executor executor, Endpoint endpoint, ConnectOptions options)
{
    sockaddr_storage raw{};
    const socklen_t length = endpoint.to(raw);
    if (length == 0)
        co_return refused(ENAMETOOLONG);
    Fd fd(::socket(raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd)
        co_return refused(errno);
    if (auto error = bind_source(fd, endpoint, options))
        co_return *std::move(error);
    if (options.segment != 0 && !endpoint.is_unix())
        ::setsockopt(fd.get(), IPPROTO_TCP, TCP_MAXSEG, &options.segment, sizeof options.segment);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&raw), length) == 0)
        co_return socket_stream(executor, std::move(fd));
    if (errno != EINPROGRESS)                                         // EAGAIN: a Unix listener whose queue is full
        co_return refused(errno);
    // A connect that is under way completes as "writable".
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto stream = adopt_stream(executor, std::move(fd), std::move(endpoint));
    if (options.limit.count() > 0)
        stream->expires_after(options.limit);
    auto ready = co_await stream->wait(Direction::write);
    if (!ready)
        co_return ready.error().what() == "canceled" ? ready.error() : refused(ETIMEDOUT);
    int error_number = 0;
    socklen_t size = sizeof error_number;
    ::getsockopt(stream->native(), SOL_SOCKET, SO_ERROR, &error_number, &size);
    if (error_number != 0)
        co_return refused(error_number);
    stream->expires_never();
    co_return stream;
}

}  // namespace posthorn::net
