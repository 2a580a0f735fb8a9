// ipc/channel.hpp: requests, replies and notices between two processes over a Unix stream socket.
// Both ends are equal: each may call, each may serve. Many calls are outstanding at once; replies come in any order.
// Batches   what is said in one turn of the loop leaves with one system call; what arrived is read in bulk.
// Limits    frame_limit per payload; a caller waits while more than queue_limit octets are unsent; reading stops while the
//           replies that the other side does not fetch pass queue_limit or while more than request_limit requests are being
//           served. A peer that takes nothing for stuck_limit is given up.
// Errors    every outstanding call ends with an Error when the connection ends ("lost connection with NAME", 4.3.0), when its
//           time is up ("NAME: request timed out", 4.3.0) or when its caller is cancelled ("canceled", 4.3.2).
//           A handler's Error travels: the caller gets its what() and status().
// Lifetime  shared_ptr: replies that come late hold it. close() ends it; handlers are not called after that.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "ipc/frame.hpp"

#include <google/protobuf/message_lite.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace posthorn::ipc {

class Channel;
using google::protobuf::MessageLite;

struct ChannelOptions {
    /// For messages: "qmgr", "memory".
    std::string name = "peer";
    std::size_t frame_limit = 4 << 20;
    std::size_t queue_limit = 8 << 20;
    std::size_t request_limit = 20'000;
    /// How long a call waits for its reply; Postfix's ipc_timeout.
    std::chrono::milliseconds call_limit{3'600'000};
    std::chrono::milliseconds stuck_limit{60'000};
};

/// Where a reply goes. Dropped without an answer, it answers with an error, so that no caller waits forever.
class Responder {
public:
    Responder() = default;
    Responder(std::weak_ptr<Channel> channel, Kind kind, std::uint64_t id) : channel_(std::move(channel)), kind_(kind), id_(id) {}
    Responder(Responder&& other) noexcept : channel_(std::move(other.channel_)), kind_(other.kind_), id_(std::exchange(other.id_, 0)) {}
    Responder& operator=(Responder&& other) noexcept;
    ~Responder();

    void reply(const MessageLite& message, std::vector<Fd> descriptors = {});
    void fail(const Error& error);
    explicit operator bool() const { return id_ != 0; }

private:
    std::weak_ptr<Channel> channel_;
    Kind kind_ = 0;
    std::uint64_t id_ = 0;                                            // zero: a notice, or answered
};

/// What arrived. `payload` lives only during the handler's call: parse it there.
struct Incoming {
    Kind kind;
    std::string_view payload;
    std::vector<Fd> descriptors;
    Responder responder;                                              // empty for a notice

    template <class Message>
    Result<Message> parse() const
    {
        Message message;
        if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
            return Error{"malformed message of kind " + std::to_string(kind), "4.3.0"};
        return message;
    }
};

struct Received {
    std::string payload;
    std::vector<Fd> descriptors;
};

class Channel : public std::enable_shared_from_this<Channel> {
public:
    /// Called on the loop, in order of arrival, must not block. A handler that needs time parses, spawns and keeps the responder
    /// (Dispatcher does that).
    using Handler = std::function<void(Incoming)>;
    /// Called once, when the connection ended from the other side or by a fault (not by close()).
    using Ended = std::function<void(Error)>;

    static std::shared_ptr<Channel> open(Executor executor, Fd socket, ChannelOptions options = {}, Handler handler = {}, Ended ended = {});
    /// A connected pair, for tests and for a parent and its child.
    static Result<std::pair<Fd, Fd>> socket_pair();

    Channel(Channel&&) = delete;
    ~Channel();

    /// How long a call waits for its reply: call_limit, or as long as the connection lasts.
    enum class Patience { limited, boundless };
    /// A request and its reply.
    template <class Reply, class Request>
    awaitable<Result<Reply>> call(KindOf kind, Request request, std::vector<Fd> descriptors = {}, Patience patience = Patience::limited)
    {
        auto self = shared_from_this();                               // a call outlives its caller's hold
        if (!self->has_room())
            CO_TRY_VOID(co_await self->room_to_send());
        const std::uint64_t id = self->next_id_++;
        CO_TRY_VOID(self->put(FrameType::request, kind.value, id, request, std::move(descriptors)));
        co_return parsed<Reply>(kind, co_await self->reply_to(id, patience));
    }
    /// The same for a request that the caller keeps until the reply is there: nothing is copied.
    template <class Reply>
    awaitable<Result<Reply>> call_kept(KindOf kind, const MessageLite* request)
    {
        auto self = shared_from_this();
        if (!self->has_room())
            CO_TRY_VOID(co_await self->room_to_send());
        const std::uint64_t id = self->next_id_++;
        CO_TRY_VOID(self->put(FrameType::request, kind.value, id, *request, {}));
        co_return parsed<Reply>(kind, co_await self->reply_to(id));
    }
    /// The same for a request that is put together of parts that stay somebody's: as soon as there is room, `compose` is called once with what it
    /// has to call with the request. Nothing of it is kept, and nothing else runs meanwhile.
    using Say = std::function<void(const MessageLite& request)>;
    template <class Reply, class Compose>
    awaitable<Result<Reply>> call_composed(KindOf kind, Compose compose, std::vector<Fd> descriptors = {}, Patience patience = Patience::limited)
    {
        auto self = shared_from_this();
        if (!self->has_room())
            CO_TRY_VOID(co_await self->room_to_send());
        const std::uint64_t id = self->next_id_++;
        Result<void> said = Error{"no request was composed", "4.3.0"};
        compose(Say([&](const MessageLite& request) { said = self->put(FrameType::request, kind.value, id, request, std::move(descriptors)); }));
        CO_TRY_VOID(std::move(said));
        co_return parsed<Reply>(kind, co_await self->reply_to(id, patience));
    }
    /// The reply's bare payload, with its descriptors.
    template <class Request>
    awaitable<Result<Received>> call_raw(KindOf kind, Request request, std::vector<Fd> descriptors = {})
    {
        auto self = shared_from_this();
        if (!self->has_room())
            CO_TRY_VOID(co_await self->room_to_send());
        const std::uint64_t id = self->next_id_++;
        CO_TRY_VOID(self->put(FrameType::request, kind.value, id, request, std::move(descriptors)));
        co_return co_await self->reply_to(id);
    }
    /// A notice, which has no reply. Waits only while the queue is full.
    template <class Message>
    awaitable<Result<void>> send(KindOf kind, Message message, std::vector<Fd> descriptors = {})
    {
        auto self = shared_from_this();
        if (!self->has_room())
            CO_TRY_VOID(co_await self->room_to_send());
        co_return self->put(FrameType::notice, kind.value, 0, message, std::move(descriptors));
    }
    /// A notice at once, from code that is no coroutine; an Error where the queue is full.
    Result<void> post(KindOf kind, const MessageLite& message, std::vector<Fd> descriptors = {});

    /// Unsent octets are sent if the kernel takes them at once; outstanding calls fail.
    void close();
    bool is_open() const { return open_; }
    std::size_t calls_outstanding() const;
    std::size_t octets_unsent() const;
    Executor executor() const { return executor_; }
    const std::string& name() const { return options_.name; }
    /// Process id, user and group of the other end (SO_PEERCRED), as the kernel knows them; -1 where it does not.
    struct Credentials {
        int pid = -1;
        unsigned uid = ~0U;
        unsigned gid = ~0U;
    };
    Credentials credentials() const;

    /// How many system calls moved how many frames: the batches, for tests and the budget.
    struct Counts {
        std::uint64_t writes = 0, reads = 0, frames_out = 0, frames_in = 0;
    };
    const Counts& counts() const { return counts_; }

private:
    friend class Responder;
    struct Core;

    Channel(Executor executor, Fd socket, ChannelOptions options, Handler handler, Ended ended);

    template <class Reply>
    static Result<Reply> parsed(KindOf kind, Result<Received> received)
    {
        if (!received)
            return std::move(received).error();
        Reply reply;
        if (!reply.ParseFromString(received->payload))
            return Error{"malformed reply of kind " + std::to_string(kind.value), "4.3.0"};
        return reply;
    }

    bool has_room() const { return open_ && octets_unsent() <= options_.queue_limit; }
    awaitable<Result<void>> room_to_send();
    Result<void> put(FrameType type, Kind kind, std::uint64_t id, const MessageLite& message, std::vector<Fd> descriptors);
    void put_failure(Kind kind, std::uint64_t id, const Error& error);
    awaitable<Result<Received>> reply_to(std::uint64_t id, Patience patience = Patience::limited);

    Executor executor_;
    ChannelOptions options_;
    std::uint64_t next_id_ = 1;
    bool open_ = true;
    Counts counts_;
    std::unique_ptr<Core> core_;
};

}  // namespace posthorn::ipc
