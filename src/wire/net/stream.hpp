// net/stream.hpp: a stream of octets: tcp, unix, memory pair (tests); tls/ wraps any of them.
// Ownership  held by unique_ptr and stays put. One reader and one writer coroutine may be at work at the same time; both
//            have ended before it is destroyed.
// Buffers    none inside a socket stream. wait_readable() waits without one, so that idle sessions hold none.
// Deadline   set on the stream, for reads and writes alike. Past it every operation gives "conversation timed out", 4.4.2.
//            Setting it is an assignment: a timer is armed only when an operation has to wait, and seldom moved.
// Errors     "lost connection" 4.4.2 (reset, broken pipe), "conversation timed out" 4.4.2, "canceled" 4.3.2 (TaskGroup::close).
//            End of stream is no error: read_some gives 0.
// Cancelled  tasks are woken once. A read after that gives "canceled" where it would wait; a write may still wait until the
//            deadline, so that a last reply can be said.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "net/address.hpp"

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace posthorn::net {

/// What one attempt without waiting came to.
struct Io {
    enum class State { done, again, end, failed };
    State state = State::done;
    std::size_t octets = 0;

    static Io done(std::size_t octets) { return {State::done, octets}; }
    static Io again() { return {State::again, 0}; }
    static Io end() { return {State::end, 0}; }
    static Io failed() { return {State::failed, 0}; }
};

enum class Direction { read, write };

class Stream {
public:
    Stream() = default;
    Stream(Stream&&) = delete;
    virtual ~Stream() = default;

    /// Waits for at least one octet; 0 at the end of the stream. `room` stays valid until then and is not empty.
    awaitable<Result<std::size_t>> read_some(std::span<char> room);
    /// All of it. The text stays valid until then.
    awaitable<Result<void>> write(std::string_view text);
    /// All pieces with as few system calls as the kernel allows (writev); the array and its texts stay valid until then.
    awaitable<Result<void>> write(std::span<const std::string_view> pieces);
    /// Returns once read_some would not wait (data, end or failure).
    awaitable<Result<void>> wait_readable();

    /// One attempt without waiting. After `failed`, failure() says why.
    virtual Io try_read(std::span<char> room) = 0;
    virtual Io try_write(std::span<const iovec> pieces) = 0;
    /// Nothing accepted by try_write stays behind once this gives done (TLS records).
    virtual Io try_flush() { return Io::done(0); }
    /// Waits until an attempt in this direction has a chance, within the deadline.
    virtual awaitable<Result<void>> wait(Direction direction) = 0;
    Error failure() const { return error_ ? *error_ : Error{"lost connection", "4.4.2"}; }
    /// For a wrapper that has something to read of its own (decrypted octets).
    virtual bool has_buffered() const { return false; }

    virtual void expires_at(SteadyTime deadline) = 0;
    void expires_after(std::chrono::milliseconds duration) { expires_at(std::chrono::steady_clock::now() + duration); }
    void expires_never() { expires_at(SteadyTime::max()); }
    virtual SteadyTime deadline() const = 0;

    /// Says that nothing more will be written (FIN; close_notify in TLS). Reading goes on.
    virtual awaitable<Result<void>> shutdown() = 0;
    /// Ends it; waiting operations fail. Data not yet read by the peer is still sent by the kernel.
    virtual void close() = 0;
    /// Ends it with a reset (RST), so that the peer sees a failure.
    virtual void abort() = 0;
    virtual bool is_open() const = 0;

    virtual const Endpoint& peer() const = 0;
    virtual const Endpoint& local() const = 0;
    /// -1 where there is none (memory).
    virtual int native() const = 0;
    virtual Executor executor() const = 0;
    /// What it wraps (TLS), or nullptr.
    virtual Stream* next_layer() { return nullptr; }

protected:
    Io fail(Error error)
    {
        error_ = std::move(error);
        return Io::failed();
    }
    bool past_deadline() const;

private:
    awaitable<Result<void>> write_all(std::span<iovec> pieces);
    awaitable<void> breathe();

    std::optional<Error> error_;
    int without_wait_ = 0;
};

/// A connected stream socket (tcp or unix): made non-blocking, TCP_NODELAY on.
std::unique_ptr<Stream> socket_stream(Executor executor, Fd connected);
/// The same for one that is all that already, and whose peer is known: what a Listener accepted.
std::unique_ptr<Stream> adopt_stream(Executor executor, Fd accepted, Endpoint peer);

/// Makes the I/O step number `fail_at` (reads, writes and waits of both ends, counted from 0) fail, for tests that loop over all steps.
struct Faults {
    enum class Kind { reset, end, timeout };
    int fail_at = -1;
    Kind kind = Kind::reset;
    int steps = 0;
};

struct MemoryOptions {
    /// Octets on the way in one direction; a writer waits beyond it.
    std::size_t capacity = 1 << 20;
    /// A read gives at most one segment as it was written; without it reads run over segment ends, as TCP does.
    bool keep_segments = true;
    /// everything_written() has what was written; a program that speaks to itself for long leaves it out.
    bool remember = true;
    std::shared_ptr<Faults> faults = nullptr;
    Endpoint first{IpAddress::v4({192, 0, 2, 1}), 40000};
    Endpoint second{IpAddress::v4({192, 0, 2, 2}), 25};
};

/// One end of a pair in memory. It counts what its owner wrote.
class MemoryStream : public Stream {
public:
    /// Segments written by this end: one for each write() call that fits the capacity.
    virtual std::size_t segments_written() const = 0;
    /// Groups of segments with no segment of the other end in between: what costs a round trip each.
    virtual std::size_t flights_written() const = 0;
    virtual const std::string& everything_written() const = 0;
};

std::pair<std::unique_ptr<MemoryStream>, std::unique_ptr<MemoryStream>> memory_pair(Executor executor, MemoryOptions options = {});

}  // namespace posthorn::net
