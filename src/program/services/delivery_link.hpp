// services/delivery_link.hpp: the way from a delivery process to qmgr: requests come in, verdicts go back and are kept until they are stored.
// A connection that ends takes nothing with it: deliveries go on, and the qmgr that comes back hears in Hello what is in flight and
// what has ended meanwhile (design rule 2: the kill of qmgr alone makes no duplicate).
#pragma once

#include "async/async.hpp"
#include "base/fd.hpp"
#include "handoff/frames.pb.h"
#include "ipc/client.hpp"
#include "observe/log.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::services {

/// How many deliveries of a transport may be in hand at once: its column in master.cf (0: none), and never more than the descriptors of
/// one process are enough for, since one process may get them all. A delivery has a connection, may have a content file, and leaves
/// a warm session behind.
std::uint32_t delivery_limit(std::uint32_t column, std::uint64_t descriptors);
/// Of this process, by its limits.
std::uint64_t descriptors_at_most();

class DeliveryLink {
public:
    /// Content is in the request, or an open descriptor.
    using Deliver = std::function<awaitable<handoff::Verdicts>(handoff::DeliveryRequest, Fd)>;

    DeliveryLink(Executor executor, std::string socket, std::string service, std::string program, std::uint32_t process_limit, std::uint32_t ahead,
                 Deliver deliver, observe::Log log);
    /// The queue wants an attempt back. Set before start().
    std::function<void(std::uint64_t attempt)> on_call_back;
    /// What a delivery waits for, in words, and how long it has. Set before start(); without it nobody says so.
    using Waits = std::pair<std::string, std::chrono::microseconds>;
    std::function<std::optional<Waits>(std::uint64_t attempt)> on_progress;
    void start() { client_.start(); }
    /// Takes no new request, waits for what is in flight and for its verdicts to be stored. The process's own limit ends it.
    awaitable<void> drain();
    awaitable<void> close();
    std::size_t in_flight() const { return flights_.size(); }
    std::uint64_t delivered() const { return delivered_; }

private:
    void heard(ipc::Incoming incoming);
    handoff::ProgressReply progress(const handoff::ProgressQuestion& question) const;
    awaitable<Result<void>> greet(std::shared_ptr<ipc::Channel> channel);
    awaitable<void> serve(handoff::DeliveryRequest request, Fd content, ipc::Responder responder, std::uint64_t connection);
    awaitable<void> tell(std::uint64_t attempt);

    std::string service_, program_;
    std::uint32_t process_limit_, ahead_;
    Deliver deliver_;
    observe::Log log_;
    std::map<std::uint64_t, handoff::Flight> flights_;
    std::map<std::uint64_t, handoff::Verdicts> held_;
    std::uint64_t connection_ = 0;                    // counts connections: a verdict answers only the one its request came by
    std::uint64_t delivered_ = 0;
    bool draining_ = false;
    Signal changed_;
    TaskGroup tasks_;
    ipc::Client client_;
};

}  // namespace posthorn::services
