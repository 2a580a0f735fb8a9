#include "net/deadline.hpp"
#include "net/stream.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>

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
    SocketStream(Executor executor, Fd fd)
        : peer_(name_of(fd.get(), ::getpeername)), local_(name_of(fd.get(), ::getsockname)), descriptor_(executor, fd.get()),
          deadline_(executor, [this] { descriptor_.cancel(); })
    {
        (void)fd.release();
        descriptor_.native_non_blocking(true);
        if (!local_.is_unix()) {
            const int on = 1;
            ::setsockopt(descriptor_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
    }

    Io try_read(std::span<char> room) override
    {
        for (;;) {
            const ssize_t got = ::recv(descriptor_.native_handle(), room.data(), room.size(), 0);
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
            const ssize_t sent = ::sendmsg(descriptor_.native_handle(), &message, MSG_NOSIGNAL);
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
        if (!descriptor_.is_open())
            co_return lost(EBADF);
        if (direction == Direction::read && co_await cancelled())
            co_return Error{"canceled", "4.3.2"};
        Deadline::Waiting waiting(deadline_);
        const auto which = direction == Direction::read ? asio::posix::descriptor_base::wait_read : asio::posix::descriptor_base::wait_write;
        const auto [error] = co_await descriptor_.async_wait(which, asio::as_tuple(use_awaitable));
        if (!error)
            co_return Result<void>{};
        if (deadline_.passed())
            co_return Error{"conversation timed out", "4.4.2"};
        if (!descriptor_.is_open())
            co_return lost(EBADF);
        if (co_await cancelled())
            co_return Error{"canceled", "4.3.2"};
        co_return lost(error.value());
    }

    void expires_at(SteadyTime deadline) override { deadline_.set(deadline); }
    SteadyTime deadline() const override { return deadline_.at(); }

    awaitable<Result<void>> shutdown() override
    {
        if (::shutdown(descriptor_.native_handle(), SHUT_WR) != 0)
            co_return lost(errno);
        co_return Result<void>{};
    }

    void close() override
    {
        boost::system::error_code ignored;                            // the descriptor is gone in either case
        descriptor_.close(ignored);
    }

    void abort() override
    {
        if (descriptor_.is_open()) {
            const linger reset{.l_onoff = 1, .l_linger = 0};
            ::setsockopt(descriptor_.native_handle(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        }
        close();
    }

    bool is_open() const override { return descriptor_.is_open(); }
    const Endpoint& peer() const override { return peer_; }
    const Endpoint& local() const override { return local_; }
    int native() const override { return const_cast<asio::posix::stream_descriptor&>(descriptor_).native_handle(); }
    Executor executor() const override { return const_cast<asio::posix::stream_descriptor&>(descriptor_).get_executor(); }

private:
    /// Postfix says "lost connection" whatever the kernel said; the errno is kept as evidence.
    Error lost(int error_number) const
    {
        if (error_number == ETIMEDOUT)
            return Error{"conversation timed out", "4.4.2"}.after(errno_text(error_number));
        return Error{"lost connection", "4.4.2"}.after(errno_text(error_number));
    }

    Endpoint peer_, local_;
    asio::posix::stream_descriptor descriptor_;
    Deadline deadline_;
};

}  // namespace

std::unique_ptr<Stream> socket_stream(Executor executor, Fd connected)
{
    return std::make_unique<SocketStream>(std::move(executor), std::move(connected));
}

}  // namespace posthorn::net
