#include "net/deadline.hpp"
#include "net/stream.hpp"

#include <cstring>
#include <deque>

namespace posthorn::net {

namespace {

/// One direction.
struct Pipe {
    explicit Pipe(const Executor& executor) : changed(executor) {}

    std::deque<std::string> segments;
    std::size_t octets = 0;
    bool ended = false;       // the writer said so
    bool broken = false;      // reset by either side
    Signal changed;
};

/// What both ends share.
struct Wire {
    Wire(Executor executor, MemoryOptions made_with) : options(std::move(made_with)), ways{Pipe(executor), Pipe(executor)} {}
    MemoryOptions options;
    Pipe ways[2];
    int last_writer = -1;
};

class MemoryEnd final : public MemoryStream {
public:
    MemoryEnd(Executor executor, std::shared_ptr<Wire> wire, int which)
        : executor_(executor), wire_(std::move(wire)), which_(which), out_(wire_->ways[which]), in_(wire_->ways[1 - which]),
          local_(which == 0 ? wire_->options.first : wire_->options.second), peer_(which == 0 ? wire_->options.second : wire_->options.first),
          deadline_(executor, [this] {
              out_.changed.notify_all();
              in_.changed.notify_all();
          })
    {
    }
    ~MemoryEnd() override { end(); }

    Io try_read(std::span<char> room) override
    {
        if (!open_ || in_.broken)
            return fail(lost());
        if (const auto io = fault())
            return *io;
        std::size_t got = 0;
        while (got < room.size() && !in_.segments.empty()) {
            std::string& segment = in_.segments.front();
            const std::size_t part = std::min(room.size() - got, segment.size());
            std::memcpy(room.data() + got, segment.data(), part);
            got += part;
            if (part == segment.size())
                in_.segments.pop_front();
            else
                segment.erase(0, part);
            if (wire_->options.keep_segments)
                break;
        }
        if (got > 0) {
            in_.octets -= got;
            in_.changed.notify_all();
            return Io::done(got);
        }
        return in_.ended ? Io::end() : Io::again();
    }

    Io try_write(std::span<const iovec> pieces) override
    {
        if (!open_ || out_.broken || out_.ended)
            return fail(lost());
        if (const auto io = fault())
            return io->state == Io::State::end ? fail(lost()) : *io;
        std::string segment;
        const std::size_t room = wire_->options.capacity - std::min(wire_->options.capacity, out_.octets);
        for (const iovec& piece : pieces)
            segment.append(static_cast<const char*>(piece.iov_base), std::min(piece.iov_len, room - segment.size()));
        if (segment.empty())
            return Io::again();
        const std::size_t octets = segment.size();
        out_.octets += octets;
        if (wire_->options.remember)
            written_ += segment;
        ++segments_;
        if (wire_->last_writer != which_) {
            ++flights_;
            wire_->last_writer = which_;
        }
        out_.segments.push_back(std::move(segment));
        out_.changed.notify_all();
        return Io::done(octets);
    }

    awaitable<Result<void>> wait(Direction direction) override
    {
        if (const auto io = fault()) {
            if (io->state == Io::State::failed)
                co_return failure();
            co_return Result<void>{};                                 // the end of stream: the next attempt sees it
        }
        Pipe& pipe = direction == Direction::read ? in_ : out_;
        Deadline::Waiting waiting(deadline_);
        const bool was_cancelled = co_await cancelled();
        bool woken_by_cancel = false;
        for (;;) {
            const bool ready = direction == Direction::read ? !pipe.segments.empty() : pipe.octets < wire_->options.capacity;
            if (ready || pipe.ended || pipe.broken || !open_)
                co_return Result<void>{};
            if (deadline_.passed())
                co_return Error{"conversation timed out", "4.4.2"};
            if (woken_by_cancel || (was_cancelled && direction == Direction::read))
                co_return Error{"canceled", "4.3.2"};
            co_await pipe.changed.wait();
            woken_by_cancel = co_await cancelled() && !was_cancelled;
        }
    }

    void expires_at(SteadyTime deadline) override { deadline_.set(deadline); }
    SteadyTime deadline() const override { return deadline_.at(); }

    awaitable<Result<void>> shutdown() override
    {
        out_.ended = true;
        out_.changed.notify_all();
        co_return Result<void>{};
    }
    void close() override { end(); }
    void abort() override
    {
        if (!open_)
            return;
        out_.broken = in_.broken = true;
        end();
    }
    bool is_open() const override { return open_; }
    const Endpoint& peer() const override { return peer_; }
    const Endpoint& local() const override { return local_; }
    int native() const override { return -1; }
    Executor executor() const override { return executor_; }

    std::size_t segments_written() const override { return segments_; }
    std::size_t flights_written() const override { return flights_; }
    const std::string& everything_written() const override { return written_; }

private:
    static Error lost() { return Error{"lost connection", "4.4.2"}; }

    std::optional<Io> fault()
    {
        Faults* faults = wire_->options.faults.get();
        if (!faults || faults->steps++ != faults->fail_at)
            return std::nullopt;
        switch (faults->kind) {
        case Faults::Kind::timeout: return fail(Error{"conversation timed out", "4.4.2"});
        case Faults::Kind::reset: abort(); return fail(lost());
        case Faults::Kind::end:
            in_.segments.clear();
            in_.octets = 0;
            in_.ended = true;
            in_.changed.notify_all();
            return Io::end();
        }
        return std::nullopt;
    }

    void end()
    {
        if (!open_)
            return;
        open_ = false;
        out_.ended = true;
        in_.segments.clear();
        in_.broken = true;                                            // the peer's next write fails, as the kernel's reset does
        out_.changed.notify_all();
        in_.changed.notify_all();
    }

    Executor executor_;
    std::shared_ptr<Wire> wire_;
    int which_;
    Pipe &out_, &in_;
    Endpoint local_, peer_;
    Deadline deadline_;
    std::string written_;
    std::size_t segments_ = 0, flights_ = 0;
    bool open_ = true;
};

}  // namespace

std::pair<std::unique_ptr<MemoryStream>, std::unique_ptr<MemoryStream>> memory_pair(Executor executor, MemoryOptions options)
{
    auto wire = std::make_shared<Wire>(executor, std::move(options));
    return {std::make_unique<MemoryEnd>(executor, wire, 0), std::make_unique<MemoryEnd>(executor, wire, 1)};
}

}  // namespace posthorn::net
