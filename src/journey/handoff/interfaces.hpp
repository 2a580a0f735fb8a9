// handoff/interfaces.hpp: what one station needs of another. Tests give their own; program/services gives those that travel
// between processes.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "handoff/words.pb.h"

#include <optional>
#include <string>
#include <vector>

namespace posthorn::handoff {

/// Takes responsibility for messages (RFC 5321 4.2.5).
class Queue {
public:
    virtual ~Queue() = default;
    /// A queue id for a message that begins; none while qmgr cannot be asked (451 4.3.0).
    virtual std::optional<std::string> next_queue_id() = 0;
    /// Success: the message is on stable storage. An Error has the status for the reply (4.3.1 full, 4.3.0 else);
    /// then nothing is stored: a lost answer has been cleared up by asking whether it was committed.
    virtual awaitable<Result<void>> enqueue(Envelope envelope, Content content) = 0;
    /// Free octets for content, for SIZE and queue_minfree.
    virtual std::uint64_t free_octets() const = 0;
};

/// Where an address goes (RFC 5321 3.6, 5; Postfix's trivial-rewrite(8)).
class Router {
public:
    virtual ~Router() = default;
    /// One route per address, in order. An Error: a table or name service failed, try later.
    virtual awaitable<Result<std::vector<Route>>> route(std::string sender, std::vector<std::string> addresses) = 0;
};

}  // namespace posthorn::handoff
