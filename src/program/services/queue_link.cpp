#include "services/queue_link.hpp"

#include "handoff/frames.hpp"
#include "observe/asked.hpp"

#include <unistd.h>

namespace posthorn::services {

using handoff::Frame;

QueueLink::QueueLink(Executor executor, Options options, const Clock& clock, observe::Log log)
    : options_(std::move(options)), clock_(clock), log_(std::move(log)), ids_(options_.long_queue_ids), tasks_(executor),
      client_(
          executor, options_.socket, {.channel = {.name = "qmgr", .frame_limit = handoff::large_frame}}, {},
          [this](std::shared_ptr<ipc::Channel> channel) { return greet(std::move(channel)); },
          [this](Error error) { log_.warning("connection to qmgr: {}", error.text()); })
{
}

void QueueLink::start() { client_.start(); }

awaitable<void> QueueLink::close()
{
    co_await tasks_.close();
    co_await client_.close();
}

awaitable<Result<void>> QueueLink::ready()
{
    CO_TRY_VOID(co_await client_.wait_channel());
    co_return Result<void>{};
}

awaitable<Result<void>> QueueLink::greet(std::shared_ptr<ipc::Channel> channel)
{
    handoff::Hello hello;
    hello.set_service(options_.service);
    hello.set_process(static_cast<std::uint32_t>(::getpid()));
    CO_TRY(const auto welcome, co_await channel->call<handoff::Welcome>(Frame::hello, std::move(hello)));
    take(welcome);
    co_return Result<void>{};
}

void QueueLink::take(const handoff::Welcome& welcome)
{
    if (welcome.sequences() > 0)
        ids_.add_block(welcome.first_sequence(), welcome.sequences());
}

/// The socket is the supervisor's and can be connected to while nobody serves it: only the greeting tells that qmgr is there.
bool QueueLink::away()
{
    if (client_.connected()) {
        away_since_.reset();
        away_said_ = false;
        return false;
    }
    const SteadyTime now = clock_.steady();
    if (!away_since_)
        away_since_ = now;
    if (now - *away_since_ < options_.away)
        return false;
    if (!std::exchange(away_said_, true))
        log_.warning("no queue manager for {} seconds: new messages are refused until it is back", options_.away.count());
    return true;
}

std::optional<std::string> QueueLink::next_queue_id()
{
    if (away())
        return std::nullopt;
    if (ids_.low() && !fetching_) {
        fetching_ = true;
        tasks_.spawn(fetch_ids());
    }
    return ids_.next(clock_.wall());
}

awaitable<void> QueueLink::fetch_ids()
{
    auto welcome = co_await client_.call<handoff::Welcome>(Frame::id_block, handoff::IdBlockRequest{});
    fetching_ = false;
    if (welcome)
        take(*welcome);
    else
        log_.warning("queue ids: {}", welcome.error().text());
}

void QueueLink::answer_now()
{
    if (const auto channel = client_.channel())
        (void)channel->post(Frame::answer_now, handoff::AnswerNow{});
}

/// Nobody waits for the first answer of a message that a qmgr before this one has stored: it is in the queue, and that is the answer.
awaitable<Result<std::optional<handoff::Refusal>>> QueueLink::enqueue(handoff::Envelope envelope, handoff::Content content,
                                                                      std::chrono::milliseconds patience)
{
    const std::string queue_id = envelope.queue_id();
    handoff::EnqueueRequest request;
    *request.mutable_envelope() = std::move(envelope);
    *request.mutable_content() = std::move(content);
    request.set_first_answer(static_cast<std::uint32_t>(patience.count()));
    const SteadyTime end = clock_.steady() + options_.patience;
    for (bool asked_before = false;; asked_before = true) {
        if (asked_before) {
            handoff::CommittedQuestion question;
            question.set_queue_id(queue_id);
            const auto answer = co_await client_.call<handoff::CommittedAnswer>(Frame::committed, std::move(question));
            if (answer && answer->committed())
                co_return std::nullopt;
            if (!answer) {
                if (clock_.steady() >= end || co_await cancelled())
                    co_return Error{"queue manager unavailable; whether " + queue_id + " was stored is not known", "4.3.0"};
                continue;
            }
        }
        observe::Question storing(observe::Helper::queue, request.first_answer() == 0 ? "store" : "first attempt");
        const auto reply = co_await client_.call_kept<handoff::EnqueueReply>(Frame::enqueue, &request);
        storing.ended(reply && (reply->committed() || reply->refused() != 0));
        if (reply) {
            if (reply->committed())
                co_return std::nullopt;
            if (reply->refused() != 0)
                co_return handoff::Refusal(static_cast<int>(reply->refused()), reply->status(), reply->text());
            co_return Error{reply->text(), reply->status()};
        }
        if (clock_.steady() >= end || co_await cancelled())
            co_return Error{"queue manager unavailable", "4.3.0"};
    }
}

awaitable<Result<bool>> QueueLink::was_committed(std::string queue_id)
{
    handoff::CommittedQuestion question;
    question.set_queue_id(std::move(queue_id));
    CO_TRY(const auto answer, co_await client_.call_again<handoff::CommittedAnswer>(Frame::committed, std::move(question)));
    co_return answer.committed();
}

awaitable<Result<std::string>> hand_in(ipc::Client* resolve, QueueLink* queue, handoff::RequeueRequest request, std::vector<Fd> descriptors,
                                       std::function<void(handoff::Envelope&)> change)
{
    CO_TRY(auto reply, co_await resolve->call<handoff::RequeueReply>(Frame::requeue, std::move(request), std::move(descriptors)));
    if (!reply.has_message())
        co_return Error{reply.text(), reply.status().empty() ? "4.3.0" : reply.status()};
    handoff::EnqueueRequest& made = *reply.mutable_message();
    change(*made.mutable_envelope());
    const std::string queue_id = made.envelope().queue_id();
    CO_TRY_VOID(co_await queue->enqueue(std::move(*made.mutable_envelope()), std::move(*made.mutable_content()), handoff::no_patience));
    co_return queue_id;
}

}  // namespace posthorn::services
