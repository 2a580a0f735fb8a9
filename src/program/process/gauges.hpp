// process/gauges.hpp: what a process costs and how its loop keeps up.
// Units    processor time in microseconds, user and system together; lag: how much later than due the loop ran a timer.
// The budget of design.md section 4 is processor time divided by messages, read per process.
#pragma once

#include "base/clock.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace posthorn::process {

/// Of the whole process, all threads (getrusage).
std::chrono::microseconds processor_time();

/// Of the process, in octets; 0: it is not known. For the supervisor itself.
std::uint64_t resident_memory_now(int statm);

/// Decides when a late loop is worth a line: at 50 ms, and not more than once a minute.
class LagGauge {
public:
    static constexpr std::chrono::milliseconds worth_a_line{50};
    static constexpr std::chrono::minutes between_lines{1};

    /// One measurement; the lag to be logged, or none.
    std::optional<std::chrono::microseconds> note(SteadyTime now, std::chrono::microseconds lag);
    /// The largest since it was last asked.
    std::chrono::microseconds take_largest();
    /// The largest within the last minute, or a little longer.
    std::chrono::microseconds recent(SteadyTime now);
    /// How often it was worth a line, said or not.
    std::uint64_t late() const { return late_; }

private:
    void turn(SteadyTime now);

    std::chrono::microseconds largest_{}, unsaid_{};
    std::chrono::microseconds this_half_{}, half_before_{};       // of a minute
    SteadyTime half_began_{};
    std::uint64_t late_ = 0;
    std::optional<SteadyTime> said_;
};

struct Gauges {
    std::uint64_t messages = 0;                // the service counts what it has finished
    LagGauge lag;
};

}  // namespace posthorn::process
