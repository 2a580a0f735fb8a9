// services/queue_link.hpp: the way from a process that takes mail in to qmgr.
// enqueue() answers only what is certain: after a lost connection it asks the qmgr that comes back whether the message was committed,
// and sends it again if not (idempotent by queue id). Only when qmgr stays away for `patience` is the fate unknown, and the
// Error says so (4.3.0): the client keeps the message, and may send it twice.
#pragma once

#include "base/clock.hpp"
#include "handoff/frames.pb.h"
#include "handoff/interfaces.hpp"
#include "handoff/queue_id.hpp"
#include "ipc/client.hpp"
#include "observe/log.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace posthorn::services {

class QueueLink final : public handoff::Queue {
public:
    struct Options {
        std::string socket;                           // of qmgr
        std::string service;                          // who we are, for qmgr's log
        bool long_queue_ids = false;
        std::chrono::seconds patience{300};           // with a message that is in hand
        std::chrono::seconds away{5};                 // without qmgr, until new messages are refused rather than kept waiting at their end
    };

    QueueLink(Executor executor, Options options, const Clock& clock, observe::Log log);
    void start();
    awaitable<void> close();
    /// Waits for the first connection, so that the first client is not told 451.
    awaitable<Result<void>> ready();

    std::optional<std::string> next_queue_id() override;
    awaitable<Result<std::optional<handoff::Refusal>>> enqueue(handoff::Envelope envelope, handoff::Content content,
                                                               std::chrono::milliseconds patience) override;
    /// This process ends: who waits for a first attempt is to be told now that the mail is stored.
    void answer_now();
    /// Also true for what was committed and has left the queue lately.
    awaitable<Result<bool>> was_committed(std::string queue_id);

    ipc::Client& client() { return client_; }

private:
    awaitable<Result<void>> greet(std::shared_ptr<ipc::Channel> channel);
    awaitable<void> fetch_ids();
    bool away();
    void take(const handoff::Welcome& welcome);

    Options options_;
    const Clock& clock_;
    observe::Log log_;
    handoff::QueueIds ids_;
    bool fetching_ = false;
    std::optional<SteadyTime> away_since_;
    bool away_said_ = false;
    TaskGroup tasks_;
    ipc::Client client_;
};

/// A message that begins here: cleaned by resolve as one that is handed in, enqueued as `change` leaves its envelope; its queue id. Where cleanup does not
/// take it the Error has a status of class 5.
awaitable<Result<std::string>> hand_in(ipc::Client* resolve, QueueLink* queue, handoff::RequeueRequest request, std::vector<Fd> descriptors,
                                       std::function<void(handoff::Envelope&)> change);

}  // namespace posthorn::services
