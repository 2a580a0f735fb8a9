// admin/testing.hpp: an instance that is told what to say.
#pragma once

#include "admin/system.hpp"

#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace posthorn::admin {

class ToldSystem final : public System {
public:
    std::function<Result<handoff::QueueReply>(const handoff::QueueCommand&)> on_queue = [](const auto&) { return Error{"down", "4.3.0"}; };
    handoff::SitesReply sites_reply;
    Result<handoff::AggregateReports> reports_reply = Error{"no domain has daily reports", "4.3.0"};
    std::string reports_of;
    Result<handoff::HeardReply> heard_reply = Error{"no reports of others are taken", "4.3.0"};
    handoff::HeardCommand heard_asked;
    Result<handoff::Trials> trials_reply = Error{"down", "4.3.0"};
    handoff::TrialsCommand trials_asked;
    inquiry::WhyAsked why_reply;
    std::vector<handoff::Transcript> kept;
    inquiry::KnownPeers known;
    std::vector<handoff::QueueCommand> asked;
    std::mutex asked_by_one;               // of the helper threads

    Result<handoff::QueueReply> queue(handoff::QueueCommand command) override
    {
        {
            const std::lock_guard guard(asked_by_one);
            asked.push_back(command);
        }
        return on_queue(command);
    }
    Result<handoff::AggregateReports> reports(std::string domain) override
    {
        reports_of = std::move(domain);
        return reports_reply;
    }
    Result<handoff::HeardReply> heard(handoff::HeardCommand command) override
    {
        heard_asked = std::move(command);
        return heard_reply;
    }
    Result<handoff::Trials> trials(handoff::TrialsCommand command) override
    {
        trials_asked = std::move(command);
        return trials_reply;
    }
    Result<handoff::SitesReply> sites(std::uint32_t) override { return sites_reply; }
    inquiry::WhyAsked why(std::string word) override
    {
        inquiry::WhyAsked reply = why_reply;
        reply.why.word = std::move(word);
        return reply;
    }
    Result<std::vector<handoff::Transcript>> transcripts() override { return kept; }
    Result<inquiry::KnownPeers> peers(const std::vector<std::string>&) override { return known; }
    WallTime now() const override { return WallTime{std::chrono::hours{490'000}}; }
    std::string host() const override { return "mail.<b>.test"; }
};

}  // namespace posthorn::admin
