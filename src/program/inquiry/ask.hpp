// inquiry/ask.hpp: one question over a Unix socket, one answer.
// Errors   what the other side said; "lost connection with NAME" where it went away.
#pragma once

#include "base/fd.hpp"
#include "ipc/channel.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace posthorn::inquiry {

template <class Reply, class Request>
Result<Reply> ask(Fd connected, ipc::ChannelOptions options, ipc::KindOf kind, Request request)
{
    asio::io_context loop{1};
    const auto channel = ipc::Channel::open(loop.get_executor(), std::move(connected), std::move(options));
    Result<Reply> reply = Error{"no answer", "4.3.0"};
    asio::co_spawn(
        loop,
        [](std::shared_ptr<ipc::Channel> to, ipc::KindOf asked, Request question, Result<Reply>& out) -> awaitable<void> {
            out = co_await to->call<Reply>(asked, std::move(question));
            to->close();
        }(channel, kind, std::move(request), reply),
        [](std::exception_ptr failure) {
            if (failure)
                std::rethrow_exception(failure);
        });
    loop.run();
    return reply;
}

}  // namespace posthorn::inquiry
