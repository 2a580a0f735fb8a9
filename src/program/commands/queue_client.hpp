// commands/queue_client.hpp: questions to qmgr, over public/posthorn.queue.
// Errors   "Queue report unavailable - mail system is down" in Postfix's words, with exit status 69.
#pragma once

#include "base/error.hpp"
#include "config/snapshot.hpp"
#include "handoff/frames.pb.h"

#include <functional>

namespace posthorn::commands {

class QueueClient {
public:
    explicit QueueClient(const config::Snapshot& snapshot);

    /// One question, one answer. Error: the mail system is down, or what qmgr said.
    Result<handoff::QueueReply> ask(handoff::QueueCommand command);
    /// LIST, page by page; `take` gets each entry.
    Result<void> list(const std::function<void(const handoff::QueueEntry&)>& take);
    /// Whether anybody listens.
    bool reachable() const;

private:
    std::string socket_;
};

}  // namespace posthorn::commands
