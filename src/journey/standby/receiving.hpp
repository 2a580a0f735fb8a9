// standby/receiving.hpp: the copy's side of the dialogue: it hears what the queue says, and keeps it.
// Ends     with the line, when the queue has been silent for `patience` (it asks whether anybody is there more often), or when stop() is asked.
// Errors   4.3.0, and said to the queue where that can still hear.
#pragma once

#include "standby/line.hpp"
#include "standby/replica.hpp"

#include <atomic>

namespace posthorn::standby {

struct Receiving {
    std::string version, host;             // what this end says of itself
    std::chrono::milliseconds patience{30'000};
    /// Set, maybe by a signal: it ends, with what it has been told stored.
    const std::atomic<bool>* stop = nullptr;
};

/// Blocks until it is over. Success: the queue is done with it.
Result<void> receive(spool::FileOps& files, const Clock& clock, Line& line, const Receiving& options);

}  // namespace posthorn::standby
