#include "ipc/channel.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <optional>
#include <unordered_map>

namespace posthorn::ipc {

namespace {

constexpr std::size_t read_size = 128 * 1024;
/// What a buffer may keep while nothing is in it.
constexpr std::size_t keep_size = 256 * 1024;
/// Descriptors that came and belong to no frame yet.
constexpr std::size_t descriptors_waiting = 64;

using CallHandler = asio::async_result<asio::use_awaitable_t<>, void(Result<Received>)>::handler_type;

}  // namespace

struct Channel::Core {
    struct Call {
        CallHandler handler;
        SteadyTime until;
    };
    struct Mark {
        std::uint64_t position;
        std::vector<Fd> descriptors;
    };

    Core(Channel& owner, Fd socket, Handler on_request, Ended on_end)
        : channel(owner), descriptor(owner.executor_, socket.get()), sweep_timer(owner.executor_), drained(owner.executor_),
          handler(std::move(on_request)), ended(std::move(on_end))
    {
        (void)socket.release();
        descriptor.native_non_blocking(true);
    }

    // --- writing

    std::size_t unsent() const { return out.size() - out_head; }

    void schedule_flush()
    {
        if (flush_scheduled || write_waiting)
            return;
        flush_scheduled = true;
        asio::post(channel.executor_, [self = channel.shared_from_this()] {
            self->core_->flush_scheduled = false;
            if (self->open_)
                self->core_->flush();
        });
    }

    void flush()
    {
        while (unsent() > 0) {
            const ssize_t sent = send_some();
            if (sent < 0) {
                if (errno == EINTR)
                    continue;
                if (errno != EAGAIN && errno != EWOULDBLOCK)
                    return end(lost(errno_text(errno)));
                if (!write_waiting) {
                    write_waiting = true;
                    stuck_since = std::chrono::steady_clock::now();
                    arm_sweep();
                    descriptor.async_wait(asio::posix::descriptor_base::wait_write,
                                          [self = channel.shared_from_this()](boost::system::error_code error) {
                                              self->core_->write_waiting = false;
                                              if (!error && self->open_)
                                                  self->core_->flush();
                                          });
                }
                break;
            }
            ++channel.counts_.writes;
            out_head += static_cast<std::size_t>(sent);
            out_position += static_cast<std::uint64_t>(sent);
            stuck_since = std::chrono::steady_clock::now();
        }
        if (out_head == out.size()) {
            out.clear();
            out_head = 0;
            if (out.capacity() > keep_size)
                out.shrink_to_fit();
        } else if (out_head > out.size() / 2) {
            out.erase(0, out_head);
            out_head = 0;
        }
        if (unsent() <= channel.options_.queue_limit) {
            if (room_waiters > 0)
                drained.notify_all();
            resume_reading();
        }
    }

    /// One sendmsg: up to the next frame with descriptors, or that frame's octets with them.
    ssize_t send_some()
    {
        std::size_t end = out.size();
        Mark* carried = nullptr;
        if (!marks.empty()) {
            if (marks.front().position == out_position) {
                carried = &marks.front();
                if (marks.size() > 1)
                    end = out_head + static_cast<std::size_t>(marks[1].position - out_position);
            } else {
                end = out_head + static_cast<std::size_t>(marks.front().position - out_position);
            }
        }
        iovec piece{out.data() + out_head, end - out_head};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * descriptors_per_frame)];
        if (carried) {
            const std::size_t size = carried->descriptors.size() * sizeof(int);
            message.msg_control = control;
            message.msg_controllen = CMSG_SPACE(size);
            std::memset(control, 0, sizeof control);
            cmsghdr* header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(size);
            int numbers[descriptors_per_frame];
            for (std::size_t i = 0; i < carried->descriptors.size(); ++i)
                numbers[i] = carried->descriptors[i].get();
            std::memcpy(CMSG_DATA(header), numbers, size);
        }
        const ssize_t sent = ::sendmsg(descriptor.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0 && carried)
            marks.pop_front();                                        // the kernel holds them now; ours are closed
        return sent;
    }

    // --- reading

    void wait_to_read()
    {
        if (read_waiting || paused)
            return;
        read_waiting = true;
        descriptor.async_wait(asio::posix::descriptor_base::wait_read, [self = channel.shared_from_this()](boost::system::error_code error) {
            self->core_->read_waiting = false;
            if (!error && self->open_)
                self->core_->read();
        });
    }

    void read()
    {
        make_room();
        iovec piece{in.get() + in_end, in_size - in_end};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * descriptors_per_frame)];
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t got = ::recvmsg(descriptor.native_handle(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR || errno == EWOULDBLOCK)
                return wait_to_read();
            return end(lost(errno_text(errno)));
        }
        for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
            if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                continue;
            const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < count; ++i) {
                int number = -1;
                std::memcpy(&number, CMSG_DATA(header) + i * sizeof(int), sizeof number);
                received.emplace_back(number);
            }
        }
        if (got == 0)
            return end(lost("end of stream"));
        if ((message.msg_flags & MSG_CTRUNC) || received.size() > descriptors_waiting)
            return end(Error{"malformed frame from " + channel.options_.name + ": too many descriptors", "4.3.0"});
        ++channel.counts_.reads;
        in_end += static_cast<std::size_t>(got);
        take_frames();
        if (channel.open_)
            wait_to_read();
    }

    /// Place for at least one more read, or for the rest of a long frame.
    void make_room()
    {
        if (in_begin == in_end) {
            in_begin = in_end = 0;
            if (in_size > keep_size || !in) {
                in.reset(new char[read_size]);
                in_size = read_size;
            }
            return;
        }
        std::size_t needed = in_end - in_begin + read_size / 2;
        if (in_end - in_begin >= frame_header_size) {
            std::uint32_t length = 0;                                 // checked against the limit by take_frames() before
            std::memcpy(&length, in.get() + in_begin, sizeof length);
            needed = std::max(needed, frame_header_size + length + std::size_t{1});
        }
        if (in_size - in_begin >= needed)
            return;
        if (needed <= in_size) {
            std::memmove(in.get(), in.get() + in_begin, in_end - in_begin);
        } else {
            std::unique_ptr<char[]> larger(new char[needed]);
            std::memcpy(larger.get(), in.get() + in_begin, in_end - in_begin);
            in = std::move(larger);
            in_size = needed;
        }
        in_end -= in_begin;
        in_begin = 0;
    }

    void take_frames()
    {
        while (channel.open_ && in_begin < in_end) {
            auto frame = next_frame({in.get() + in_begin, in_end - in_begin}, channel.options_.frame_limit);
            if (!frame)
                return end(Error{frame.error().what() + " from " + channel.options_.name, "4.3.0"});
            const std::optional<Frame>& whole = *frame;
            if (!whole)
                return;
            const FrameHeader header = whole->header;
            if (header.type == FrameType::request || header.type == FrameType::notice) {
                paused = unsent() > channel.options_.queue_limit || serving > channel.options_.request_limit;
                if (paused) {
                    arm_sweep();
                    return;
                }
            }
            if (header.descriptors > received.size())
                return end(Error{"malformed frame from " + channel.options_.name + ": descriptors are missing", "4.3.0"});
            in_begin += frame_header_size + header.length;
            ++channel.counts_.frames_in;
            take(whole->payload, header);
        }
    }

    void take(std::string_view payload, const FrameHeader& header)
    {
        std::vector<Fd> descriptors;
        for (int i = 0; i < header.descriptors; ++i) {
            descriptors.push_back(std::move(received.front()));
            received.pop_front();
        }
        switch (header.type) {
        case FrameType::notice:
            if (handler)
                handler(Incoming{header.kind, payload, std::move(descriptors), {}});
            return;
        case FrameType::request: {
            ++serving;
            Responder responder(channel.weak_from_this(), header.kind, header.id);
            if (handler)
                handler(Incoming{header.kind, payload, std::move(descriptors), std::move(responder)});
            return;                                                   // without a handler, the responder says so
        }
        case FrameType::reply: {
            // Its caller goes on at once: this is a turn of the loop already, and the channel is held.
            const auto call = calls.find(header.id);
            if (call == calls.end())
                return;
            CallHandler done = std::move(call->second.handler);
            calls.erase(call);
            return done(Received{std::string(payload), std::move(descriptors)});
        }
        case FrameType::failure: {
            const std::size_t space = std::min(payload.find(' '), payload.size());
            return complete(header.id,
                            Error{std::string(payload.substr(std::min(space + 1, payload.size()))), std::string(payload.substr(0, space))});
        }
        }
    }

    void resume_reading()
    {
        if (!paused || resume_scheduled)
            return;
        resume_scheduled = true;
        asio::post(channel.executor_, [self = channel.shared_from_this()] {
            Core& core = *self->core_;
            core.resume_scheduled = false;
            core.paused = false;
            if (!self->open_)
                return;
            core.take_frames();
            if (self->open_)
                core.wait_to_read();
        });
    }

    // --- calls

    void complete(std::uint64_t id, Result<Received> result)
    {
        const auto call = calls.find(id);
        if (call == calls.end())
            return;                                                   // its caller gave up
        CallHandler done = std::move(call->second.handler);
        calls.erase(call);
        asio::post(channel.executor_, [caller = std::move(done), result = std::move(result)]() mutable { caller(std::move(result)); });
    }

    void arm_sweep()
    {
        if (sweeping)
            return;
        sweeping = true;
        using std::chrono::milliseconds;
        sweep_timer.expires_after(
            std::clamp(std::min(channel.options_.call_limit, channel.options_.stuck_limit) / 4, milliseconds(5), milliseconds(5000)));
        sweep_timer.async_wait([weak = channel.weak_from_this()](boost::system::error_code error) {
            const auto self = weak.lock();
            if (!self || error || !self->open_)
                return;
            self->core_->sweeping = false;
            self->core_->sweep();
        });
    }

    void sweep()
    {
        const SteadyTime now = std::chrono::steady_clock::now();
        if ((write_waiting || paused) && unsent() > 0 && now - stuck_since > channel.options_.stuck_limit)
            return end(Error{channel.options_.name + " takes nothing any more", "4.3.0"});
        std::vector<std::uint64_t> late;
        for (const auto& [id, call] : calls)
            if (call.until <= now)
                late.push_back(id);
        for (const std::uint64_t id : late)
            complete(id, Error{channel.options_.name + ": request timed out", "4.3.0"});
        if (!calls.empty() || write_waiting)
            arm_sweep();
    }

    // --- the end

    Error lost(std::string_view why) const { return Error{"lost connection with " + channel.options_.name, "4.3.0"}.after(why); }

    void end(Error error)
    {
        if (!channel.open_)
            return;
        const auto self = channel.shared_from_this();
        Ended tell = std::move(ended);
        shut(error);
        if (tell)
            asio::post(channel.executor_, [self, tell = std::move(tell), error = std::move(error)] { tell(error); });
    }

    void shut(const Error& error)
    {
        channel.open_ = false;
        boost::system::error_code ignored;                            // the descriptor is gone in either case
        descriptor.close(ignored);
        sweep_timer.cancel();
        drained.notify_all();
        ended = nullptr;
        // A handler may be running right now and own this very call: it goes with the loop's next turn.
        asio::post(channel.executor_, [gone = std::move(handler)] {});
        handler = nullptr;
        while (!calls.empty())
            complete(calls.begin()->first, error);
    }

    Channel& channel;
    asio::posix::stream_descriptor descriptor;
    asio::steady_timer sweep_timer;
    Signal drained;
    Handler handler;
    Ended ended;

    std::string out;
    std::size_t out_head = 0;
    std::uint64_t out_position = 0;                                   // of out[out_head] in everything ever sent
    std::deque<Mark> marks;
    SteadyTime stuck_since{};
    int room_waiters = 0;

    std::unique_ptr<char[]> in;
    std::size_t in_size = 0, in_begin = 0, in_end = 0;
    std::deque<Fd> received;

    std::unordered_map<std::uint64_t, Call> calls;
    std::size_t serving = 0;
    bool flush_scheduled = false, write_waiting = false, read_waiting = false, paused = false, resume_scheduled = false, sweeping = false;
};

Channel::Channel(Executor executor, Fd socket, ChannelOptions options, Handler handler, Ended ended)
    : executor_(std::move(executor)), options_(std::move(options)),
      core_(std::make_unique<Core>(*this, std::move(socket), std::move(handler), std::move(ended)))
{
}

Channel::~Channel() = default;

std::shared_ptr<Channel> Channel::open(Executor executor, Fd socket, ChannelOptions options, Handler handler, Ended ended)
{
    std::shared_ptr<Channel> channel(new Channel(std::move(executor), std::move(socket), std::move(options), std::move(handler), std::move(ended)));
    channel->core_->wait_to_read();
    return channel;
}

Result<std::pair<Fd, Fd>> Channel::socket_pair()
{
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return system_error("socketpair", errno);
    return std::pair<Fd, Fd>{Fd(ends[0]), Fd(ends[1])};
}

awaitable<Result<void>> Channel::room_to_send()
{
    while (open_ && core_->unsent() > options_.queue_limit) {
        ++core_->room_waiters;
        co_await core_->drained.wait();
        --core_->room_waiters;
        if (co_await cancelled())
            co_return Error{"canceled", "4.3.2"};
    }
    if (!open_)
        co_return core_->lost("closed");
    co_return Result<void>{};
}

Result<void> Channel::put(FrameType type, Kind kind, std::uint64_t id, const MessageLite& message, std::vector<Fd> descriptors)
{
    if (!open_)
        return core_->lost("closed");
    const std::size_t length = message.ByteSizeLong();
    if (length > options_.frame_limit)
        return Error{"message of " + std::to_string(length) + " octets for " + options_.name + " is over the frame limit", "4.3.0"};
    if (descriptors.size() > descriptors_per_frame)
        return Error{"too many descriptors in one frame", "4.3.0"};
    std::string& out = core_->out;
    const std::size_t at = out.size();
    const FrameHeader header{static_cast<std::uint32_t>(length), kind, type, static_cast<std::uint8_t>(descriptors.size()), id};
    if (!descriptors.empty())
        core_->marks.push_back({core_->out_position + (at - core_->out_head), std::move(descriptors)});
    if (out.capacity() < at + frame_header_size + length)
        out.reserve(std::max(out.capacity() * 2, at + frame_header_size + length));
    const std::size_t whole = at + frame_header_size + length;
    out.resize_and_overwrite(whole, [&](char* octets, std::size_t) {     // no zeros first
        encode_header(header, octets + at);
        message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(octets + at + frame_header_size));
        return whole;
    });
    ++counts_.frames_out;
    core_->schedule_flush();
    return {};
}

void Channel::put_failure(Kind kind, std::uint64_t id, const Error& error)
{
    if (!open_)
        return;
    const std::string text = (error.status() + ' ' + error.what()).substr(0, 4096);
    char header[frame_header_size];
    encode_header({static_cast<std::uint32_t>(text.size()), kind, FrameType::failure, 0, id}, header);
    core_->out.append(header, sizeof header).append(text);
    ++counts_.frames_out;
    core_->schedule_flush();
}

Result<void> Channel::post(KindOf kind, const MessageLite& message, std::vector<Fd> descriptors)
{
    if (core_->unsent() > options_.queue_limit)
        return Error{"the queue to " + options_.name + " is full", "4.3.0"};
    return put(FrameType::notice, kind.value, 0, message, std::move(descriptors));
}

awaitable<Result<Received>> Channel::reply_to(std::uint64_t id, Patience patience)
{
    auto self = shared_from_this();
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Result<Received>)>(
        [](CallHandler handler, Channel* channel, std::uint64_t call_id, Patience how_long) {
            auto slot = asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected())
                slot.assign([weak = channel->weak_from_this(), call_id](asio::cancellation_type) {
                    if (const auto alive = weak.lock())
                        alive->core_->complete(call_id, Error{"canceled", "4.3.2"});
                });
            const SteadyTime until =
                how_long == Patience::boundless ? SteadyTime::max() : std::chrono::steady_clock::now() + channel->options_.call_limit;
            channel->core_->calls.emplace(call_id, Core::Call{std::move(handler), until});
            channel->core_->arm_sweep();
        },
        use_awaitable, this, id, patience);
}

void Channel::close()
{
    if (!open_)
        return;
    if (core_->unsent() > 0 && !core_->write_waiting)
        core_->flush();
    if (open_)
        core_->shut(Error{"connection to " + options_.name + " is closed", "4.3.0"});
}

std::size_t Channel::calls_outstanding() const { return core_->calls.size(); }

std::size_t Channel::octets_unsent() const { return core_->unsent(); }

Channel::Credentials Channel::credentials() const
{
    ucred raw{};
    socklen_t length = sizeof raw;
    if (!open_ || ::getsockopt(core_->descriptor.native_handle(), SOL_SOCKET, SO_PEERCRED, &raw, &length) != 0)
        return {};
    return {raw.pid, raw.uid, raw.gid};
}

Responder& Responder::operator=(Responder&& other) noexcept
{
    Responder old(std::move(*this));
    channel_ = std::move(other.channel_);
    kind_ = other.kind_;
    id_ = std::exchange(other.id_, 0);
    return *this;
}

Responder::~Responder()
{
    if (id_ != 0)
        fail(Error{"the request was dropped without an answer", "4.3.0"});
}

void Responder::reply(const MessageLite& message, std::vector<Fd> descriptors)
{
    const std::uint64_t id = std::exchange(id_, 0);
    const auto channel = channel_.lock();
    if (id == 0 || !channel || !channel->open_)
        return;
    if (auto sent = channel->put(FrameType::reply, kind_, id, message, std::move(descriptors)); !sent)
        channel->put_failure(kind_, id, sent.error());
    --channel->core_->serving;
    channel->core_->resume_reading();
}

void Responder::fail(const Error& error)
{
    const std::uint64_t id = std::exchange(id_, 0);
    const auto channel = channel_.lock();
    if (id == 0 || !channel || !channel->open_)
        return;
    channel->put_failure(kind_, id, error);
    --channel->core_->serving;
    channel->core_->resume_reading();
}

}  // namespace posthorn::ipc
