// inquiry/queue_client.hpp: questions to qmgr, over public/posthorn.queue.
// Errors   "Queue report unavailable - mail system is down" in Postfix's words, with exit status 69.
#pragma once

#include "base/error.hpp"
#include "config/snapshot.hpp"
#include "handoff/frames.pb.h"
#include "handoff/moving.pb.h"
#include "handoff/sites.pb.h"
#include "inquiry/ask.hpp"
#include "ipc/channel.hpp"

#include <functional>

namespace posthorn::inquiry {

class QueueClient {
public:
    /// No answer comes after `until` (ask.hpp).
    explicit QueueClient(const config::Snapshot& snapshot, Until until = {});

    /// One question, one answer. Error: the mail system is down, or what qmgr said.
    Result<handoff::QueueReply> ask(handoff::QueueCommand command);
    /// Destinations with mail, and what is deferred; for root and ourselves.
    Result<handoff::SitesReply> sites(std::uint32_t most);
    /// Messages go to another instance's queue, or come from one (handoff/moving.proto).
    Result<handoff::HandOverReply> hand_over(handoff::HandOver question);
    Result<handoff::TakeOverReply> take_over(handoff::TakeOver question);
    /// LIST, page by page; `take` gets each entry.
    Result<void> list(const std::function<void(const handoff::QueueEntry&)>& take);
    /// Whether anybody listens.
    bool reachable() const;

private:
    template <class Reply, class Question>
    Result<Reply> put(ipc::KindOf kind, Question question) const;

    std::string socket_;
    Until until_;
};

}  // namespace posthorn::inquiry
