#include "services/delivery_link.hpp"

#include "handoff/frames.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

namespace posthorn::services {

using handoff::Frame;

std::uint32_t delivery_limit(std::uint32_t column, std::uint64_t descriptors)
{
    constexpr std::uint64_t of_the_process = 128, of_a_delivery = 3;       // log, channels, tables, the resolver's sockets
    const std::uint64_t enough_for = descriptors > of_the_process + of_a_delivery ? (descriptors - of_the_process) / of_a_delivery : 1;
    const auto most = static_cast<std::uint32_t>(std::min<std::uint64_t>(enough_for, std::numeric_limits<std::uint32_t>::max()));
    return column == 0 ? most : std::min(column, most);
}

std::uint64_t descriptors_at_most()
{
    rlimit files{};
    return ::getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 1024;
}

DeliveryLink::DeliveryLink(Executor executor, std::string socket, std::string service, std::string program, std::uint32_t process_limit,
                           std::uint32_t ahead, Deliver deliver, observe::Log log)
    : service_(std::move(service)), program_(std::move(program)), process_limit_(process_limit), ahead_(ahead), deliver_(std::move(deliver)),
      log_(std::move(log)), changed_(executor), tasks_(executor),
      client_(
          executor, std::move(socket), {.channel = {.name = "qmgr", .frame_limit = handoff::large_frame}},
          [this](ipc::Incoming incoming) { heard(std::move(incoming)); },
          [this](std::shared_ptr<ipc::Channel> channel) { return greet(std::move(channel)); },
          [this](Error error) { log_.warning("connection to qmgr: {}", error.text()); })
{
}

awaitable<Result<void>> DeliveryLink::greet(std::shared_ptr<ipc::Channel> channel)
{
    ++connection_;
    handoff::Hello hello;
    hello.set_service(service_);
    hello.set_program(draining_ ? "" : program_);          // a process that drains takes no more requests, but tells what it has
    hello.set_process_limit(process_limit_);
    hello.set_ahead(ahead_);
    hello.set_process(static_cast<std::uint32_t>(::getpid()));
    for (const auto& [attempt, flight] : flights_)
        *hello.add_flights() = flight;
    for (const auto& [attempt, verdicts] : held_)
        *hello.add_held() = verdicts;
    const auto held = held_;
    CO_TRY_VOID(co_await channel->call<handoff::Welcome>(Frame::hello, std::move(hello)));
    for (const auto& [attempt, verdicts] : held)           // the welcome comes after they were stored
        held_.erase(attempt);
    changed_.notify_all();
    co_return Result<void>{};
}

void DeliveryLink::heard(ipc::Incoming incoming)
{
    if (incoming.kind == static_cast<ipc::Kind>(Frame::verdicts_stored)) {
        if (const auto stored = incoming.parse<handoff::VerdictsStored>())
            for (const std::uint64_t attempt : stored->attempts())
                held_.erase(attempt);
        changed_.notify_all();
        return;
    }
    if (incoming.kind == static_cast<ipc::Kind>(Frame::call_back)) {
        if (const auto wanted = incoming.parse<handoff::CallBack>(); wanted && on_call_back)
            for (const std::uint64_t attempt : wanted->attempts())
                on_call_back(attempt);
        return;
    }
    if (incoming.kind == static_cast<ipc::Kind>(Frame::progress)) {
        const auto question = incoming.parse<handoff::ProgressQuestion>();
        return question ? incoming.responder.reply(progress(*question)) : incoming.responder.fail(question.error());
    }
    if (draining_ && incoming.kind == static_cast<ipc::Kind>(Frame::deliver)) {
        // On its way before our goodbye was heard.
        handoff::Verdicts back;
        back.set_handed_back(true);
        return incoming.responder.reply(back);
    }
    if (incoming.kind != static_cast<ipc::Kind>(Frame::deliver))
        return incoming.responder.fail(Error{"a delivery process serves deliveries only", "4.3.0"});
    auto request = incoming.parse<handoff::DeliveryRequest>();
    if (!request)
        return incoming.responder.fail(request.error());
    handoff::Flight& flight = flights_[request->attempt()];
    flight.set_attempt(request->attempt());
    flight.set_message(request->message());
    for (const handoff::Recipient& recipient : request->envelope().recipients())
        flight.add_recipients(recipient.index());
    Fd content = incoming.descriptors.empty() ? Fd{} : std::move(incoming.descriptors.front());
    tasks_.spawn(serve(*std::move(request), std::move(content), std::move(incoming.responder), connection_));
}

handoff::ProgressReply DeliveryLink::progress(const handoff::ProgressQuestion& question) const
{
    handoff::ProgressReply reply;
    for (const std::uint64_t attempt : question.attempts()) {
        const auto flight = flights_.find(attempt);
        const auto waits = flight != flights_.end() && on_progress ? on_progress(attempt) : std::nullopt;
        if (!waits)
            continue;
        handoff::Progress& told = *reply.add_all();
        told.set_attempt(attempt);
        *told.mutable_recipients() = flight->second.recipients();
        told.set_waits_for(waits->first);
        told.set_waited(waits->second.count());
    }
    return reply;
}

awaitable<void> DeliveryLink::serve(handoff::DeliveryRequest request, Fd content, ipc::Responder responder, std::uint64_t connection)
{
    const std::uint64_t attempt = request.attempt(), message = request.message();
    handoff::Verdicts verdicts = co_await deliver_(std::move(request), std::move(content));
    ++delivered_;
    verdicts.set_attempt(attempt);
    verdicts.set_message(message);
    flights_.erase(attempt);
    const handoff::Verdicts& held = held_[attempt] = std::move(verdicts);
    if (connection == connection_ && client_.connected())
        responder.reply(held);
    else
        co_await tell(attempt);
    changed_.notify_all();
}

/// To a qmgr that did not ask: it knows the attempt from Hello.
awaitable<void> DeliveryLink::tell(std::uint64_t attempt)
{
    while (held_.contains(attempt)) {
        const auto stored = co_await client_.call<handoff::VerdictsStored>(Frame::verdicts, held_.at(attempt));
        if (stored)
            held_.erase(attempt);
        else if (co_await cancelled())
            co_return;
        else if (client_.connected())
            co_await sleep_for(std::chrono::seconds{1});       // it is there, and cannot take it now
    }
}

awaitable<void> DeliveryLink::drain()
{
    draining_ = true;
    if (const auto channel = client_.channel()) {
        handoff::Hello goodbye;                            // hello without a program: no more requests, please
        goodbye.set_service(service_);
        goodbye.set_process(static_cast<std::uint32_t>(::getpid()));
        (void)co_await channel->call<handoff::Welcome>(Frame::hello, std::move(goodbye));
    }
    while (!flights_.empty() || !held_.empty())
        co_await changed_.wait_for(std::chrono::milliseconds{100});
}

awaitable<void> DeliveryLink::close()
{
    co_await tasks_.close();
    co_await client_.close();
}

}  // namespace posthorn::services
