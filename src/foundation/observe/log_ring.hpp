// observe/log_ring.hpp: the lines of one process on their way to the one that writes the log: a ring in memory that both have mapped.
// Shape    a memfd of ring_octets, sealed: a header, then records (stamp, level, length, "tag: line"), each in one piece.
// Order    a stamp is taken while the ring says that it is being written to. Who finds it quiet, after a look at the same clock, has all lines of before
//          that look: lines of several processes can be put in the order in which they were said.
// Lasts    what was written is there when its writer is gone, however it went.
// Trust    the reader's in the writer: none. Whatever stands in the memory, no octet outside it is read, no more is taken than it holds, and a line
//          has no control characters.
// Full     lines are dropped, counted, and the count is said in front of the next.
// Records  travel in the same order, marked (recorder.hpp). They have no tag, and are never cut: what is too long, or finds no room, is dropped and
//          counted apart, which is said in front of the next line. A writer's record is taken only where it may stand in the file.
// Alone    a writer whose reader has died writes what that had not taken, and all that follows, by itself.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"
#include "observe/log.hpp"
#include "observe/outlet.hpp"
#include "observe/recorder.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::observe {

/// Address space; memory is what was ever written at once: a ring that is empty begins anew.
inline constexpr std::size_t ring_octets = 4 << 20;
/// What is longer is cut.
inline constexpr std::size_t ring_line_octets = 64 * 1024;

struct LogRing;  // the memory

/// One that is mapped.
class MappedRing {
public:
    MappedRing() = default;
    explicit MappedRing(LogRing* where) : at_(where) {}
    MappedRing(MappedRing&& other) noexcept : at_(std::exchange(other.at_, nullptr)) {}
    MappedRing& operator=(MappedRing&& other) noexcept
    {
        std::swap(at_, other.at_);
        return *this;
    }
    ~MappedRing();
    LogRing* operator->() const { return at_; }
    explicit operator bool() const { return at_ != nullptr; }

private:
    LogRing* at_ = nullptr;
};

/// Empty, and nobody's yet.
Result<Fd> make_log_ring();
Result<MappedRing> map_log_ring(const Fd& ring);

/// The process's end. write() takes no system call but where the reader sleeps, and never waits for it.
class RingSink final : public Sink, public Recorder {
public:
    /// `bell`: an eventfd that wakes the reader. A process with no ring drops its lines.
    RingSink(MappedRing ring, Fd bell) : ring_(std::move(ring)), bell_(std::move(bell)) {}
    /// `target`: for reader_gone(), as it was when the process began; empty: nowhere.
    RingSink(MappedRing ring, Fd bell, Fd target, LogForm form, Fd records = {})
        : ring_(std::move(ring)), bell_(std::move(bell)), target_(std::move(target)), records_(std::move(records)), form_(form)
    {
    }
    /// From now on write() may block, for reader_patience.
    void reader_gone();
    void write(Level level, std::string_view tag, std::string_view line) override;
    void record(std::string_view object) override;
    /// For want of room, since the start.
    std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
    std::uint64_t records_dropped() const { return records_dropped_.load(std::memory_order_relaxed); }

private:
    bool put(std::int64_t stamp, std::uint32_t level, std::string_view tag, std::string_view line);
    bool say_dropped(std::int64_t stamp, std::string_view tag);
    void ring_bell();

    std::mutex writing_;
    MappedRing ring_;
    Fd bell_, target_, records_;
    LogForm form_ = LogForm::file;
    std::optional<Outlet> alone_, records_alone_;
    std::uint64_t unsaid_ = 0, records_unsaid_ = 0;
    std::atomic<std::uint64_t> dropped_ = 0, records_dropped_ = 0;
};

/// The reader's end.
class RingReader {
public:
    struct Line {
        std::int64_t stamp;  // nanoseconds of the steady clock
        std::uint64_t place;  // in the ring: of two with one stamp
        Level level;
        std::string text;  // "tag: line"; of a record, the record
        bool record = false;
        auto order() const { return std::pair(stamp, place); }
    };
    /// From its beginning, or from where another has stopped.
    explicit RingReader(MappedRing ring, bool go_on = false);
    /// Nobody is writing. What was stamped before the caller looked at the clock, before this, is there for take().
    bool quiet() const;
    /// All that is there; stamps are no earlier than `from` and no later than now, whatever they say.
    void take(std::int64_t from, std::vector<Line>& lines);
    bool empty() const;
    /// The next write rings the bell. Look at empty() after it.
    void ask_for_bell();

private:
    MappedRing ring_;
    std::uint64_t taken_ = 0;  // octets; what the memory says of it is for the writer
};

}  // namespace posthorn::observe
