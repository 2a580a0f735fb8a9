// What a delivery waits for at this moment: asked when an operator asks, written down nowhere.
#include "send/agent_core.hpp"

#include <fmt/format.h>

namespace posthorn::send {

namespace {

Agent::Progress in_session(const Session& session, std::string_view more = {})
{
    return {fmt::format("{}, {}{}", session.host().relay(), session.doing(), more), session.doing_since()};
}

}  // namespace

std::optional<Agent::Progress> Agent::progress(std::uint64_t attempt) const
{
    const auto found = core_->under_way.find(attempt);
    if (found == core_->under_way.end())
        return std::nullopt;
    const Job& job = *found->second;
    if (job.line)
        return in_session(*job.line->session, job.line->jobs.front().get() == &job ? "" : ", of mail before it in the same session");
    const std::string& nexthop = job.request.route().nexthop();
    const Host* const host = job.next_host < job.hosts.size() ? &job.hosts[job.next_host] : nullptr;
    const auto since = [&](std::string what) { return Progress{std::move(what), job.stage_since}; };
    switch (job.stage) {
    case Before::tables: return since("tables about its sender and its header");
    case Before::policies: return since(fmt::format("what TLS has to be with {}: smtp_tls_policy_maps, the domain's MTA-STS policy", nexthop));
    case Before::place: return since("a session with its site: all that may be open are at work");
    case Before::names: return since(fmt::format("the DNS: the servers of {}", nexthop));
    case Before::room: return since("the end of another session with its servers, which take no more at once");
    case Before::pace: return since("the time to connect: smtp_peer_rules says how often a connection with its servers may begin");
    case Before::tls: return since(fmt::format("the DNS: which certificate {} has to show (TLSA)", host ? host->name : nexthop));
    case Before::connection: return since(fmt::format("a connection to {}", host ? host->relay() : nexthop));
    case Before::opening: break;
    }
    if (job.opening)
        return in_session(*job.opening);
    return since("the session that was opened for it");
}

}  // namespace posthorn::send
