#include "inquiry/queue_client.hpp"

#include "handoff/frames.hpp"
#include "ipc/client.hpp"

namespace posthorn::inquiry {

namespace {
const Error down{"Queue report unavailable - mail system is down", "4.3.0"};
}

QueueClient::QueueClient(const config::Snapshot& snapshot, Until until)
    : socket_(snapshot.text("queue_directory") + "/public/posthorn.queue"), until_(until)
{
}

bool QueueClient::reachable() const { return ipc::connect_unix(socket_).has_value(); }

template <class Reply, class Question>
Result<Reply> QueueClient::put(ipc::KindOf kind, Question question) const
{
    auto connected = ipc::connect_unix(socket_);
    if (!connected)
        return down;
    ipc::ChannelOptions options;
    options.name = "qmgr";
    options.frame_limit = handoff::large_frame;
    return inquiry::ask<Reply>(*std::move(connected), limited(std::move(options), until_), kind, std::move(question));
}

Result<handoff::QueueReply> QueueClient::ask(handoff::QueueCommand command)
{
    auto reply = put<handoff::QueueReply>(handoff::Frame::queue_command, std::move(command));
    if (reply && reply->failed())
        return Error{reply->text(), "5.0.0"};
    return reply;
}

Result<handoff::HandOverReply> QueueClient::hand_over(handoff::HandOver question)
{
    auto reply = put<handoff::HandOverReply>(handoff::Frame::hand_over, std::move(question));
    if (reply && reply->failed())
        return Error{reply->text(), "5.0.0"};
    return reply;
}

Result<handoff::TakeOverReply> QueueClient::take_over(handoff::TakeOver question)
{
    auto reply = put<handoff::TakeOverReply>(handoff::Frame::take_over, std::move(question));
    if (reply && reply->failed())
        return Error{reply->text(), "5.0.0"};
    return reply;
}

Result<handoff::SitesReply> QueueClient::sites(std::uint32_t most)
{
    handoff::SitesQuestion question;
    question.set_most(most);
    return put<handoff::SitesReply>(handoff::Frame::sites, std::move(question));
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

}  // namespace posthorn::inquiry
