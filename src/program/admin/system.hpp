// admin/system.hpp: what the admin service asks of the rest of the house. Its calls block, for longest_question and little more: they are made on
// helper threads, several at once.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"
#include "config/snapshot.hpp"
#include "handoff/aggregate.pb.h"
#include "handoff/frames.pb.h"
#include "handoff/heard.pb.h"
#include "handoff/sites.pb.h"
#include "handoff/transcript.hpp"
#include "handoff/trials.pb.h"
#include "inquiry/known_peers.hpp"
#include "inquiry/why_question.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace posthorn::admin {

/// Of one call, whatever it asks of others.
inline constexpr std::chrono::seconds longest_question{60};

class System {
public:
    virtual ~System() = default;
    /// qmgr. Status 4.3.0: it cannot be reached.
    virtual Result<handoff::QueueReply> queue(handoff::QueueCommand command) = 0;
    virtual Result<handoff::SitesReply> sites(std::uint32_t most) = 0;
    virtual inquiry::WhyAsked why(std::string word) = 0;
    /// All that are kept, oldest first.
    virtual Result<std::vector<handoff::Transcript>> transcripts() = 0;
    virtual Result<inquiry::KnownPeers> peers(const std::vector<std::string>& words) = 0;
    /// reporter: the daily reports of this domain; empty: of all.
    virtual Result<handoff::AggregateReports> reports(std::string domain) = 0;
    /// reports: what others report of our domains.
    virtual Result<handoff::HeardReply> heard(handoff::HeardCommand command) = 0;
    /// memory: what stricter settings would have refused.
    virtual Result<handoff::Trials> trials(handoff::TrialsCommand command) = 0;
    virtual WallTime now() const = 0;
    /// For the page.
    virtual std::string host() const = 0;
};

/// The running instance, as the commands ask it.
std::unique_ptr<System> running_system(config::Snapshot snapshot);

}  // namespace posthorn::admin
