// services/probes.hpp: address probes on their way to the next hosts. Part of qmgr, which knows routes and delivery processes.
// A probe is a request, not a message: nothing of it is stored, it waits in no queue, and that it fails says nothing about its site's
// mail. Addresses of one site that come while a probe of that site runs go together in the next one: one session, one flight.
// Budget   a site has so many sessions at one time, and so many addresses may wait for them; what is asked beyond is answered at once, with
//          the reason, and is not asked.
// Errors   nobody could be asked (no route, no process, a process that ended): then nothing was learned about the address.
#pragma once

#include "handoff/frames.pb.h"
#include "services/own_transports.hpp"
#include "services/workers.hpp"

#include "async/async.hpp"
#include "base/clock.hpp"
#include "observe/log.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>

namespace posthorn::services {

class Resolver;

class Probes {
public:
    struct Numbers {
        std::function<std::uint64_t()> attempt;
        std::function<std::string()> queue_id;
        /// What a site asked for counts for its probes too: it is told, and asked before the next one.
        std::function<void(const handoff::Shaping& said, std::string_view site)> heard;
        std::function<std::optional<std::string>(std::string_view site)> silent;
        /// Of a pool the route gets a member: the same for all probes of a next hop, which share sessions.
        std::function<void(handoff::Route& route)> choose;
        /// An operator ordered something for mail that goes there: what. The address is not asked about, and nothing is said against it.
        std::function<std::optional<std::string>(const handoff::Route& route, std::string_view address, std::string_view sender)> ordered = {};
    };
    struct Options {
        std::size_t sessions = 2;                 // probes of a site at one time
        std::size_t pending = 500;                // addresses that wait for one site
        bool failures_cached = true;              // address_verify_negative_cache, for the log
        std::size_t addresses = 10;               // of one probe: a session may not be refused more (smtp_address_verify_error_limit)
        std::chrono::milliseconds worker_patience{10'000};
        std::string syslog_name = "postfix";
    };

    Probes(Executor executor, Resolver& resolver, Workers& workers, Numbers numbers, Options options, const Clock& clock, observe::Log log);
    Probes(Probes&&) = delete;

    awaitable<Result<handoff::ProbeReply>> probe(handoff::ProbeRequest request);
    void reconfigure(Options options) { options_ = std::move(options); }
    /// Who waits is answered with an Error.
    awaitable<void> close() { return tasks_.close(); }

private:
    struct Waiting {
        Waiting(const Executor& executor, handoff::Recipient to, handoff::Route way)
            : recipient(std::move(to)), route(std::move(way)), ended(executor)
        {
        }
        handoff::Recipient recipient;
        handoff::Route route;
        Signal ended;
        std::optional<Result<handoff::Verdict>> verdict;
    };
    struct Site {
        std::deque<std::shared_ptr<Waiting>> waiting;
        std::size_t running = 0;
        bool over_budget = false;                 // said
    };
    using SiteKey = std::pair<std::string, std::string>;      // of the route, and the sender: one envelope has one

    awaitable<void> run(SiteKey key);
    awaitable<Result<handoff::Verdicts>> ask(handoff::DeliveryRequest request);
    handoff::DeliveryRequest request_for(const std::vector<std::shared_ptr<Waiting>>& together, const std::string& sender);
    handoff::Verdict decided_here(const OwnVerdict& own) const;
    void log_own(const handoff::Verdict& verdict, const handoff::Recipient& recipient, std::string_view transport, std::string_view queue_id);

    Executor executor_;
    Resolver& resolver_;
    Workers& workers_;
    Numbers numbers_;
    Options options_;
    const Clock& clock_;
    observe::Log log_;
    std::map<SiteKey, Site> sites_;
    TaskGroup tasks_;
};

}  // namespace posthorn::services
