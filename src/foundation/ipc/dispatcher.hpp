// ipc/dispatcher.hpp: from kinds to coroutines. Each request becomes a task of the group; its Result is the reply.
//   Dispatcher dispatcher(group);
//   dispatcher.on<Enqueue, Committed>(Kind::enqueue, [this](Enqueue request) { return enqueue(std::move(request)); });
//   auto channel = Channel::open(executor, fd, options, dispatcher.handler());
// The Dispatcher outlives its channels. A kind nobody serves is answered with an Error; as a notice it is dropped and counted.
#pragma once

#include "ipc/channel.hpp"

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace posthorn::ipc {

class Dispatcher {
public:
    explicit Dispatcher(TaskGroup& group) : group_(group) {}
    Dispatcher(Dispatcher&&) = delete;

    /// `serve`: awaitable<Result<Reply>>(Request) or awaitable<Result<Reply>>(Request, std::vector<Fd>).
    template <class Request, class Reply, class Serve>
    void on(KindOf kind, Serve serve)
    {
        services_[kind.value] = [this, serve = std::move(serve)](Incoming incoming) {
            auto request = incoming.parse<Request>();
            if (!request)
                return incoming.responder.fail(request.error());
            if constexpr (std::is_invocable_v<Serve, Request, std::vector<Fd>>)
                group_.spawn(answer<Reply>(serve(*std::move(request), std::move(incoming.descriptors)), std::move(incoming.responder)));
            else
                group_.spawn(answer<Reply>(serve(*std::move(request)), std::move(incoming.responder)));
        };
    }
    /// `serve`: Result<Reply>(const Request&), answered at once without a task: the fast way for what waits for nothing.
    template <class Request, class Reply, class Serve>
    void on_now(KindOf kind, Serve serve)
    {
        services_[kind.value] = [serve = std::move(serve)](Incoming incoming) {
            auto request = incoming.parse<Request>();
            if (!request)
                return incoming.responder.fail(request.error());
            Result<Reply> reply = serve(*request);
            reply ? incoming.responder.reply(*reply) : incoming.responder.fail(reply.error());
        };
    }
    /// `hear`: void(Message) for a notice; void(Message, std::vector<Fd>) where it carries descriptors.
    template <class Message, class Hear>
    void on_notice(KindOf kind, Hear hear)
    {
        services_[kind.value] = [this, hear = std::move(hear)](Incoming incoming) {
            auto message = incoming.parse<Message>();
            if (!message) {
                ++unheard_;
                return;
            }
            if constexpr (std::is_invocable_v<Hear, Message, std::vector<Fd>>)
                hear(*std::move(message), std::move(incoming.descriptors));
            else
                hear(*std::move(message));
        };
    }

    Channel::Handler handler()
    {
        return [this](Incoming incoming) { dispatch(std::move(incoming)); };
    }
    void dispatch(Incoming incoming);
    /// Notices of unknown kind or that did not parse.
    std::size_t unheard() const { return unheard_; }

private:
    template <class Reply>
    static awaitable<void> answer(awaitable<Result<Reply>> work, Responder responder)
    {
        Result<Reply> reply = co_await std::move(work);
        reply ? responder.reply(*reply) : responder.fail(reply.error());
    }

    TaskGroup& group_;
    std::map<Kind, std::function<void(Incoming)>> services_;
    std::size_t unheard_ = 0;
};

}  // namespace posthorn::ipc
