#include "commands/queue_client.hpp"

#include "handoff/frames.hpp"
#include "ipc/client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace posthorn::commands {

namespace {
const Error down{"Queue report unavailable - mail system is down", "4.3.0"};
}

QueueClient::QueueClient(const config::Snapshot& snapshot) : socket_(snapshot.text("queue_directory") + "/public/showq") {}

bool QueueClient::reachable() const
{
    return ipc::connect_unix(socket_).has_value();
}

Result<handoff::QueueReply> QueueClient::ask(handoff::QueueCommand command)
{
    auto connected = ipc::connect_unix(socket_);
    if (!connected)
        return down;
    asio::io_context loop{1};
    ipc::ChannelOptions options;
    options.name = "qmgr";
    options.frame_limit = 64 << 20;
    const auto channel = ipc::Channel::open(loop.get_executor(), *std::move(connected), options);
    Result<handoff::QueueReply> reply = down;
    asio::co_spawn(
        loop,
        [](std::shared_ptr<ipc::Channel> to, handoff::QueueCommand question, Result<handoff::QueueReply>& out) -> awaitable<void> {
            out = co_await to->call<handoff::QueueReply>(handoff::Frame::queue_command, std::move(question));
            to->close();
        }(channel, std::move(command), reply),
        [](std::exception_ptr failure) {
            if (failure)
                std::rethrow_exception(failure);
        });
    loop.run();
    if (reply && reply->failed())
        return Error{reply->text(), "5.0.0"};
    return reply;
}

Result<void> QueueClient::list(const std::function<void(const handoff::QueueEntry&)>& take)
{
    handoff::QueueCommand command;
    command.set_verb(handoff::QueueCommand::LIST);
    for (;;) {
        TRY(const auto page, ask(command));
        for (const handoff::QueueEntry& entry : page.entries())
            take(entry);
        if (!page.more())
            return {};
        command.set_argument(page.text());
    }
}

}  // namespace posthorn::commands
