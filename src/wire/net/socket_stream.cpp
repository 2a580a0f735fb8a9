#include "async/readiness.hpp"
#include "net/deadline.hpp"
#include "net/stream.hpp"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>
#include <optional>
#include <utility>

namespace posthorn::net {

namespace {

Endpoint name_of(int fd, decltype(&::getsockname) ask)
{
    sockaddr_storage raw{};
    socklen_t length = sizeof raw;
    if (ask(fd, reinterpret_cast<sockaddr*>(&raw), &length) != 0)
        return {};
    return Endpoint::from(raw, length);
}

class SocketStream final : public Stream {
public:
    /// The peer is asked of the kernel where the caller does not know it; the own end when somebody wants it.
    SocketStream(Executor executor, Fd fd, std::optional<Endpoint> peer)
        : peer_(peer ? *std::move(peer) : name_of(fd.get(), ::getpeername)), fd_(std::move(fd)), readiness_(std::move(executor), fd_.get()),
          deadline_(readiness_.executor(), [this] { readiness_.cancel(); })
    {
    }

    Io try_read(std::span<char> room) override
    {
        for (;;) {
            const ssize_t got = ::recv(fd_.get(), room.data(), room.size(), MSG_DONTWAIT);
            exhausted_[0] = got < 0;
            if (got > 0)
                return Io::done(static_cast<std::size_t>(got));
            if (got == 0)
                return Io::end();
            if (errno == EAGAIN || errno == EWOULDBLOCK)
                return Io::again();
            if (errno != EINTR)
                return fail(lost(errno));
        }
    }

    Io try_write(std::span<const iovec> pieces) override
    {
        msghdr message{};
        message.msg_iov = const_cast<iovec*>(pieces.data());
        message.msg_iovlen = std::min<std::size_t>(pieces.size(), IOV_MAX);
        for (;;) {
            const ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
            exhausted_[1] = sent < 0;
            if (sent >= 0)
                return Io::done(static_cast<std::size_t>(sent));
            if (errno == EAGAIN || errno == EWOULDBLOCK)
                return Io::again();
            if (errno != EINTR)
                return fail(lost(errno));
        }
    }

    awaitable<Result<void>> wait(Direction direction) override
    {
        if (deadline_.passed())
            co_return Error{"conversation timed out", "4.4.2"};
        if (!fd_)
            co_return lost(EBADF);
        const bool reads = direction == Direction::read;
        if (reads && (co_await asio::this_coro::cancellation_state).cancelled() != asio::cancellation_type::none)
            co_return Error{"canceled", "4.3.2"};
        Deadline::Waiting waiting(deadline_);
        // The edge that ends this wait is spent: the next wait asks the kernel, unless an attempt came back empty meanwhile.
        const bool exhausted = std::exchange(exhausted_[reads ? 0 : 1], false);
        const int error = co_await readiness_.wait(reads ? Readiness::Direction::read : Readiness::Direction::write, exhausted);
        if (error == 0)
            co_return Result<void>{};
        if (deadline_.passed())
            co_return Error{"conversation timed out", "4.4.2"};
        if (!fd_)
            co_return lost(EBADF);
        if (co_await cancelled())
            co_return Error{"canceled", "4.3.2"};
        co_return lost(error);
    }

    void expires_at(SteadyTime deadline) override { deadline_.set(deadline); }
    SteadyTime deadline() const override { return deadline_.at(); }

    awaitable<Result<void>> shutdown() override
    {
        if (::shutdown(fd_.get(), SHUT_WR) != 0)
            co_return lost(errno);
        co_return Result<void>{};
    }

    void close() override
    {
        if (!fd_)
            return;
        (void)local();
        readiness_.close();
        fd_.reset();
    }

    void abort() override
    {
        if (fd_) {
            const linger reset{.l_onoff = 1, .l_linger = 0};
            ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        }
        close();
    }

    bool is_open() const override { return static_cast<bool>(fd_); }
    const Endpoint& peer() const override { return peer_; }
    const Endpoint& local() const override
    {
        if (!local_)
            local_ = name_of(fd_.get(), ::getsockname);
        return *local_;
    }
    int native() const override { return fd_.get(); }
    Executor executor() const override { return readiness_.executor(); }

private:
    /// Postfix says "lost connection" whatever the kernel said; the errno is kept as evidence.
    Error lost(int error_number) const
    {
        if (error_number == ETIMEDOUT)
            return Error{"conversation timed out", "4.4.2"}.after(errno_text(error_number));
        return Error{"lost connection", "4.4.2"}.after(errno_text(error_number));
    }

    Endpoint peer_;
    mutable std::optional<Endpoint> local_;
    Fd fd_;
    Readiness readiness_;
    Deadline deadline_;
    bool exhausted_[2]{};             // read, write: the last attempt found nothing
};

}  // namespace

std::unique_ptr<Stream> socket_stream(Executor executor, Fd connected)
{
    const int flags = ::fcntl(connected.get(), F_GETFL);
    ::fcntl(connected.get(), F_SETFL, flags | O_NONBLOCK);
    const int on = 1;
    ::setsockopt(connected.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);      // refused by unix sockets
    return std::make_unique<SocketStream>(std::move(executor), std::move(connected), std::nullopt);
}

std::unique_ptr<Stream> adopt_stream(Executor executor, Fd accepted, Endpoint peer)
{
    return std::make_unique<SocketStream>(std::move(executor), std::move(accepted), std::move(peer));
}

}  // namespace posthorn::net
