// ipc/client.hpp: a channel that comes back, and the server it comes back to.
// Client   connects at once and again after every loss: at once the first time, then with a back-off that doubles from
//          first_pause to longest_pause. on_connect runs before anybody else may use the channel (it says Hello; a failure there
//          counts as a lost connection). A caller waits for the connection up to wait_limit.
// Calls    that were outstanding when the connection ended fail; whether to ask again is the caller's knowledge.
// Server   accepts on a listening Unix socket (bound by master); each connection gets a Channel of its own.
#pragma once

#include "ipc/channel.hpp"

#include <functional>
#include <memory>
#include <string>

namespace posthorn::ipc {

/// A connected Unix stream socket; the error's words are errno's.
Result<Fd> connect_unix(const std::string& path);

struct ClientOptions {
    ChannelOptions channel;
    std::chrono::milliseconds first_pause{20};
    std::chrono::milliseconds longest_pause{5'000};
    std::chrono::milliseconds wait_limit{10'000};
};

class Client {
public:
    using Connect = std::function<Result<Fd>()>;
    using OnConnect = std::function<awaitable<Result<void>>(std::shared_ptr<Channel>)>;
    /// For log lines: why the connection is down; said once per outage.
    using Trouble = std::function<void(Error)>;

    Client(Executor executor, std::string path, ClientOptions options, Channel::Handler handler = {}, OnConnect on_connect = {},
           Trouble trouble = {});
    Client(Executor executor, Connect connect, ClientOptions options, Channel::Handler handler = {}, OnConnect on_connect = {}, Trouble trouble = {});
    Client(Client&&) = delete;
    ~Client();

    void start();
    /// Ends the connection and waits for the task that keeps it. Must be awaited before destruction once started.
    awaitable<void> close();

    bool connected() const;
    /// The channel, or nullptr while there is no connection.
    std::shared_ptr<Channel> channel() const;
    /// Waits for the connection.
    awaitable<Result<std::shared_ptr<Channel>>> wait_channel();

    template <class Reply, class Request>
    awaitable<Result<Reply>> call(KindOf kind, Request request, std::vector<Fd> descriptors = {})
    {
        auto usable = channel();
        if (!usable) {
            CO_TRY(usable, co_await wait_channel());
        }
        co_return co_await usable->template call<Reply>(kind, std::move(request), std::move(descriptors));
    }
    /// For a request that the caller keeps until the reply is there.
    template <class Reply>
    awaitable<Result<Reply>> call_kept(KindOf kind, const MessageLite* request)
    {
        auto usable = channel();
        if (!usable) {
            CO_TRY(usable, co_await wait_channel());
        }
        co_return co_await usable->template call_kept<Reply>(kind, request);
    }
    /// For a request that changes nothing: where the connection is lost under it, because the server is started anew, it is asked again.
    template <class Reply, class Request>
    awaitable<Result<Reply>> call_again(KindOf kind, Request request)
    {
        for (int lost = 0;; ++lost) {
            auto reply = co_await call_kept<Reply>(kind, &request);
            if (reply || lost == 2 || connected() || co_await cancelled())
                co_return reply;
        }
    }
    template <class Message>
    awaitable<Result<void>> send(KindOf kind, Message message, std::vector<Fd> descriptors = {})
    {
        CO_TRY(auto channel, co_await wait_channel());
        co_return co_await channel->send(kind, std::move(message), std::move(descriptors));
    }

private:
    struct Core;
    std::unique_ptr<Core> core_;
};

class Server {
public:
    /// Makes the handler of a new connection; the channel lives as long as the connection.
    using MakeHandler = std::function<Channel::Handler(std::weak_ptr<Channel>)>;
    using OnEnd = std::function<void(std::shared_ptr<Channel>, Error)>;

    /// `name` in the options is what the other ends are called in messages.
    Server(Executor executor, Fd listening, ChannelOptions options, MakeHandler make_handler, OnEnd on_end = {});
    Server(Server&&) = delete;
    ~Server();

    void start();
    awaitable<void> close();
    /// The open connections, in order of arrival.
    std::vector<std::shared_ptr<Channel>> channels() const;
    /// A connection that came another way (socketpair of a parent).
    std::shared_ptr<Channel> adopt(Fd connected);

private:
    struct Core;
    std::shared_ptr<Core> core_;
};

}  // namespace posthorn::ipc
