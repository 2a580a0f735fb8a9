// standby/receiving.hpp: the copy's side of the dialogue: it hears what the queue says, and keeps it.
// Ends     with the line, or when the queue has been silent for `patience` (it asks whether anybody is there more often). Killed, it leaves a copy as well.
// Errors   4.3.0, and said to the queue where that can still hear.
#pragma once

#include "standby/line.hpp"
#include "standby/replica.hpp"

#include <functional>

namespace posthorn::standby {

struct Receiving {
    std::string version, host;  // what this end says of itself
    std::chrono::milliseconds patience{30'000};
    /// The folder is this process's, and no other's.
    std::function<void()> begun = {};
};

/// Blocks until it is over. Success: the queue is done with it.
Result<void> receive(spool::FileOps& files, const Clock& clock, Line& line, const Receiving& options);

}  // namespace posthorn::standby
