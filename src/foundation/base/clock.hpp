// base/clock.hpp: the time, as an object that a test turns by hand.
// Units    wall: system_clock (arrival times, log lines, expiry on disk); steady: for waits and rates, never goes back.
#pragma once

#include <chrono>

namespace posthorn {

using WallTime = std::chrono::sys_time<std::chrono::microseconds>;
using SteadyTime = std::chrono::steady_clock::time_point;

class Clock {
public:
    virtual ~Clock() = default;
    virtual WallTime wall() const = 0;
    virtual SteadyTime steady() const = 0;
};

class SystemClock final : public Clock {
public:
    WallTime wall() const override { return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()); }
    SteadyTime steady() const override { return std::chrono::steady_clock::now(); }
};

/// Stands still until turned. Starts at 2026-01-01 00:00:00 UTC.
class HandClock final : public Clock {
public:
    WallTime wall() const override { return wall_; }
    SteadyTime steady() const override { return steady_; }
    void advance(std::chrono::microseconds step)
    {
        wall_ += step;
        steady_ += step;
    }
    /// The wall clock alone jumps, as after a correction by NTP.
    void step_wall(std::chrono::microseconds step) { wall_ += step; }

private:
    WallTime wall_{std::chrono::seconds{1767225600}};
    SteadyTime steady_{std::chrono::hours{1}};
};

}  // namespace posthorn
