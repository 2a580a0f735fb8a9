// supervisor/restart.hpp: when a process that ended is started again.
// Rule     one that had worked is started at once; one that fails again soon waits 1, 2, 4 ... seconds, at most service_throttle_time;
//          ten seconds of life forget the past. One that ended before it was ready is a "bad command startup".
// Pure: time points come from outside.
#pragma once

#include "base/clock.hpp"

#include <chrono>

namespace posthorn::supervisor {

class Restart {
public:
    static constexpr std::chrono::seconds proof_of_life{10};

    explicit Restart(std::chrono::seconds longest) : longest_(longest) {}

    void started(SteadyTime now) { started_ = now; }
    /// How long to wait before the next start. `was_ready`: it had said that it serves.
    std::chrono::seconds ended(SteadyTime now, bool was_ready);
    void set_longest(std::chrono::seconds longest) { longest_ = longest; }

private:
    std::chrono::seconds longest_, next_{0};
    SteadyTime started_{};
};

}  // namespace posthorn::supervisor
