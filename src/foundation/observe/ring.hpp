// observe/ring.hpp: records that go when they are old or too many: files of a folder, one writer, any number of readers.
// Shape    segments NAME.0000000001 ..., mode 0600. A frame: length and checksum (4 octets each, little-endian), microseconds since the
//          epoch (8), the record. Appended by one write; a reader takes frames as long as they are whole.
// Bounded  in octets of all segments together, in age, in number: whole segments go, the oldest first, so that each bound is kept up to
//          an eighth.
// Errors   of append(): nothing of the record is left behind, and the next one may succeed (a disk that was full). Blocks: for helper threads.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>

namespace posthorn::observe {

struct RingLimits {
    std::uint64_t octets = 16 << 20;
    std::chrono::seconds age{7 * 86'400};
    std::uint64_t records = 0;              // 0: as many as the octets hold
};

/// A longer record is no record.
inline constexpr std::size_t ring_record_octets = 1 << 20;

class Ring {
public:
    /// Makes the folder (0700) where it is missing. What is there is kept, and counted against the limits.
    static Result<Ring> open(std::string folder, std::string name, RingLimits limits);

    Result<void> append(WallTime now, std::string_view record);
    /// What is too old goes; appending does it too.
    void prune(WallTime now);
    void limit(RingLimits limits) { limits_ = limits; }
    std::uint64_t octets() const;

private:
    struct Segment {
        std::string path;
        std::uint64_t number = 0, octets = 0, records = 0;
        WallTime first{}, last{};
    };
    Ring(std::string folder, std::string name, RingLimits limits) : folder_(std::move(folder)), name_(std::move(name)), limits_(limits) {}
    Result<void> begin_segment(WallTime now);
    void drop_oldest();

    std::string folder_, name_;
    RingLimits limits_;
    std::deque<Segment> segments_;          // the last one is written to, if `file_` is open
    Fd file_;
};

/// In the order written, as far as the writer has not let go yet: who has limits of its own cuts off. A folder that is not there holds nothing.
/// Error: it is there and cannot be read.
Result<void> read_ring(const std::string& folder, const std::string& name, const std::function<void(WallTime, std::string_view)>& take);

}  // namespace posthorn::observe
