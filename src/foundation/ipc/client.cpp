#include "ipc/client.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace posthorn::ipc {

Result<Fd> connect_unix(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return system_error("connect " + path, ENAMETOOLONG);
    std::memcpy(address.sun_path, path.data(), path.size());
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd)
        return system_error("socket", errno);
    // A Unix socket connects at once or says why not (EAGAIN: the listener's queue is full).
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return system_error("connect " + path, errno);
    return fd;
}

struct Client::Core {
    Core(Executor on, Connect how, ClientOptions with, Channel::Handler on_request, OnConnect on_connection, Trouble on_trouble)
        : executor(std::move(on)), connect(std::move(how)), options(std::move(with)), handler(std::move(on_request)),
          on_connect(std::move(on_connection)), trouble(std::move(on_trouble)), changed(executor), tasks(executor)
    {
    }

    awaitable<void> keep_connected()
    {
        auto pause = options.first_pause;
        bool complained = false;
        while (!co_await cancelled()) {
            auto attempt = co_await one_connection();
            if (attempt) {
                pause = options.first_pause;
                complained = false;
            } else if (!complained && trouble && !co_await cancelled()) {
                complained = true;
                trouble(attempt.error());
            }
            if (co_await cancelled())
                break;
            if (!attempt) {
                co_await sleep_for(pause);
                pause = std::min(pause * 2, options.longest_pause);
            }
        }
    }

    /// An Error where it never came to be usable; returns after it ended otherwise.
    awaitable<Result<void>> one_connection()
    {
        CO_TRY(Fd socket, connect());
        auto opened = Channel::open(executor, std::move(socket), options.channel, handler, [this](Error) { changed.notify_all(); });
        if (on_connect) {
            if (auto greeted = co_await on_connect(opened); !greeted) {
                opened->close();
                co_return greeted.error();
            }
        }
        usable = opened;
        changed.notify_all();
        while (opened->is_open() && !co_await cancelled())
            co_await changed.wait();
        usable = nullptr;
        opened->close();
        co_return Result<void>{};
    }

    Executor executor;
    Connect connect;
    ClientOptions options;
    Channel::Handler handler;
    OnConnect on_connect;
    Trouble trouble;
    Signal changed;
    std::shared_ptr<Channel> usable;
    TaskGroup tasks;
};

Client::Client(Executor executor, std::string path, ClientOptions options, Channel::Handler handler, OnConnect on_connect, Trouble trouble)
    : Client(
          std::move(executor), [path = std::move(path)] { return connect_unix(path); }, std::move(options), std::move(handler), std::move(on_connect),
          std::move(trouble))
{
}

Client::Client(Executor executor, Connect connect, ClientOptions options, Channel::Handler handler, OnConnect on_connect, Trouble trouble)
    : core_(std::make_unique<Core>(std::move(executor), std::move(connect), std::move(options), std::move(handler), std::move(on_connect),
                                   std::move(trouble)))
{
}

Client::~Client() = default;

void Client::start() { core_->tasks.spawn(core_->keep_connected()); }

awaitable<void> Client::close()
{
    co_await core_->tasks.close();
    core_->changed.notify_all();
}

bool Client::connected() const { return core_->usable && core_->usable->is_open(); }

std::shared_ptr<Channel> Client::channel() const { return connected() ? core_->usable : nullptr; }

awaitable<Result<std::shared_ptr<Channel>>> Client::wait_channel()
{
    const auto until = std::chrono::steady_clock::now() + core_->options.wait_limit;
    for (;;) {
        if (connected())
            co_return core_->usable;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (left.count() <= 0)
            co_return Error{"no connection to " + core_->options.channel.name, "4.3.0"};
        if (co_await cancelled())
            co_return Error{"canceled", "4.3.2"};
        co_await core_->changed.wait_for(left);
    }
}

struct Server::Core : std::enable_shared_from_this<Core> {
    Core(Executor on, Fd listening, ChannelOptions with, MakeHandler make, OnEnd end)
        : executor(on), descriptor(on, listening.get()), options(std::move(with)), make_handler(std::move(make)), on_end(std::move(end)), tasks(on)
    {
        (void)listening.release();
        descriptor.native_non_blocking(true);
    }

    awaitable<void> accept_loop()
    {
        while (!co_await cancelled()) {
            const auto [error] = co_await descriptor.async_wait(asio::posix::descriptor_base::wait_read, asio::as_tuple(use_awaitable));
            if (error)
                continue;
            Fd fd(::accept4(descriptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (fd)
                adopt(std::move(fd));
            else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                co_await sleep_for(std::chrono::milliseconds(100));
        }
    }

    std::shared_ptr<Channel> adopt(Fd connected)
    {
        // The handler wants to know its channel, and the channel wants its handler.
        auto handler = std::make_shared<Channel::Handler>();
        auto self = std::make_shared<std::weak_ptr<Channel>>();
        auto channel = Channel::open(
            executor, std::move(connected), options, [handler](Incoming incoming) { (*handler)(std::move(incoming)); },
            [core = weak_from_this(), self](Error error) {
                const auto alive = core.lock();
                const auto gone = self->lock();
                if (!alive || !gone)
                    return;
                std::erase(alive->channels, gone);
                if (alive->on_end)
                    alive->on_end(gone, std::move(error));
            });
        *self = channel;
        *handler = make_handler(channel);
        channels.push_back(channel);
        return channel;
    }

    Executor executor;
    asio::posix::stream_descriptor descriptor;
    ChannelOptions options;
    MakeHandler make_handler;
    OnEnd on_end;
    std::vector<std::shared_ptr<Channel>> channels;
    TaskGroup tasks;
};

Server::Server(Executor executor, Fd listening, ChannelOptions options, MakeHandler make_handler, OnEnd on_end)
    : core_(std::make_shared<Core>(std::move(executor), std::move(listening), std::move(options), std::move(make_handler), std::move(on_end)))
{
}

Server::~Server() = default;

void Server::start() { core_->tasks.spawn(core_->accept_loop()); }

awaitable<void> Server::close()
{
    co_await core_->tasks.close();
    boost::system::error_code ignored;                                // the descriptor is gone in either case
    core_->descriptor.close(ignored);
    for (const auto& channel : std::exchange(core_->channels, {}))
        channel->close();
}

std::vector<std::shared_ptr<Channel>> Server::channels() const { return core_->channels; }

std::shared_ptr<Channel> Server::adopt(Fd connected) { return core_->adopt(std::move(connected)); }

}  // namespace posthorn::ipc
