// net/deadline.hpp: the lazy timer behind Stream::expires_at.
// Setting a deadline is an assignment. The timer is armed when an operation starts to wait, stays where it is when the
// deadline moves later (it looks again when it fires), and calls `expired` only while somebody waits.
// Ownership  the timer's handler holds the Deadline's core, not the stream: a stream may go while the handler is queued.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"

#include <functional>
#include <memory>

namespace posthorn::net {

class Deadline {
public:
    Deadline(Executor executor, std::function<void()> expired);
    Deadline(Deadline&&) = delete;
    ~Deadline();

    void set(SteadyTime at);
    SteadyTime at() const;
    bool passed() const { return at() != SteadyTime::max() && std::chrono::steady_clock::now() >= at(); }

    /// Held while an operation waits.
    class Waiting {
    public:
        explicit Waiting(Deadline& deadline);
        Waiting(Waiting&&) = delete;
        ~Waiting();

    private:
        Deadline& deadline_;
    };

private:
    struct Core;
    std::shared_ptr<Core> core_;
};

}  // namespace posthorn::net
