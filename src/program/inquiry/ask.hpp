// inquiry/ask.hpp: one question over a Unix socket, one answer.
// Until    a command waits as long as any process would (ipc::ChannelOptions); the admin service, of which others wait for their turn, says until when.
// Errors   what the other side said; "lost connection with NAME" where it went away; "NAME: request timed out". All with status 4.3.0 but the first.
#pragma once

#include "base/fd.hpp"
#include "ipc/channel.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

namespace posthorn::inquiry {

using Until = std::optional<std::chrono::steady_clock::time_point>;

/// `usual`, or what is left.
inline std::chrono::milliseconds time_for(const Until& until, std::chrono::milliseconds usual)
{
    if (!until)
        return usual;
    return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(*until - std::chrono::steady_clock::now()), std::chrono::milliseconds{0}, usual);
}

inline ipc::ChannelOptions limited(ipc::ChannelOptions options, const Until& until)
{
    options.call_limit = time_for(until, options.call_limit);
    return options;
}

template <class Reply, class Request>
Result<Reply> ask(Fd connected, ipc::ChannelOptions options, ipc::KindOf kind, Request request, std::vector<Fd> descriptors = {})
{
    asio::io_context loop{1};
    const auto channel = ipc::Channel::open(loop.get_executor(), std::move(connected), std::move(options));
    Result<Reply> reply = Error{"no answer", "4.3.0"};
    asio::co_spawn(
        loop,
        [](std::shared_ptr<ipc::Channel> to, ipc::KindOf asked, Request question, std::vector<Fd> with, Result<Reply>& out) -> awaitable<void> {
            out = co_await to->call<Reply>(asked, std::move(question), std::move(with));
            to->close();
        }(channel, kind, std::move(request), std::move(descriptors), reply),
        [](std::exception_ptr failure) {
            if (failure)
                std::rethrow_exception(failure);
        });
    loop.run();
    return reply;
}

}  // namespace posthorn::inquiry
