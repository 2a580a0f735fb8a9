// send/agent.hpp: requests in, verdicts out.
// Promise   exactly one verdict per recipient of every request, whatever peers, names and files do; a log line for each.
// Sessions  kept warm per site and reused, TLS included; the next mail's envelope rides behind the content before it. Probes never
//           share a session with mail. At most request.connections sessions per site; what is beyond waits for one of them.
// Ahead     requests with `ahead` wait for a session that is there; where a session could not be had or the peer asked for less, they are given
//           back untried: whether and when they go is the queue's to say.
// Hosts     tried in order until every recipient has a final verdict or the limits are reached; temporary failures go on to
//           the next host, permanent ones do not.
// Stop      drain() ends when all deliveries are done and all sessions have said goodbye; new requests are deferred meanwhile.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "base/fd.hpp"
#include "handoff/frames.pb.h"
#include "handoff/words.pb.h"
#include "send/options.hpp"
#include "send/surroundings.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace posthorn::send {

class Agent {
public:
    Agent(Options options, Surroundings surroundings);
    Agent(Agent&&) = delete;
    ~Agent();

    /// `content`: the open content file where request.content has no inline octets. Read from its beginning, with pread.
    awaitable<handoff::Verdicts> deliver(handoff::DeliveryRequest request, Fd content = {});

    awaitable<void> drain();
    /// What was given ahead and waits goes back to the queue; for a process that is about to end.
    void give_back();
    /// The queue wants this one back: it is, untried, unless a session has it or is being opened for it.
    void call_back(std::uint64_t attempt);
    /// Idle sessions end now; deliveries go on.
    void forget_sessions();

    /// What a delivery waits for at this moment, in words, and since when; none: it is not under way (any more).
    struct Progress {
        std::string waits_for;
        SteadyTime since{};
    };
    std::optional<Progress> progress(std::uint64_t attempt) const;

    struct Counts {
        std::uint64_t deliveries = 0, recipients = 0, sessions = 0, reused = 0, failed_connects = 0, round_trips = 0;
    };
    const Counts& counts() const;

private:
    struct Core;
    std::unique_ptr<Core> core_;
};

}  // namespace posthorn::send
