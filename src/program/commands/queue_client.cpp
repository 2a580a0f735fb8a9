#include "commands/queue_client.hpp"

#include "commands/ask.hpp"
#include "handoff/frames.hpp"
#include "ipc/client.hpp"

namespace posthorn::commands {

namespace {
const Error down{"Queue report unavailable - mail system is down", "4.3.0"};
}

QueueClient::QueueClient(const config::Snapshot& snapshot) : socket_(snapshot.text("queue_directory") + "/public/posthorn.queue") {}

bool QueueClient::reachable() const { return ipc::connect_unix(socket_).has_value(); }

Result<handoff::QueueReply> QueueClient::ask(handoff::QueueCommand command)
{
    auto connected = ipc::connect_unix(socket_);
    if (!connected)
        return down;
    ipc::ChannelOptions options;
    options.name = "qmgr";
    options.frame_limit = 64 << 20;
    auto reply = commands::ask<handoff::QueueReply>(*std::move(connected), options, handoff::Frame::queue_command, std::move(command));
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
