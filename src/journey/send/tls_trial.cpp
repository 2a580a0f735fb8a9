#include "send/tls_trial.hpp"

#include "base/strings.hpp"
#include "send/options.hpp"
#include "send/surroundings.hpp"

#include <fmt/format.h>

namespace posthorn::send {

namespace {

using handoff::TrialSeen;

class Unheard final : public observe::Sink {
public:
    void write(observe::Level, std::string_view, std::string_view) override {}
};

/// Error: it cannot be told.
awaitable<Result<TlsPolicy>> find_tried(std::string next_hop, const Options* options, const Surroundings* around)
{
    TlsPolicy policy;
    policy.level = options->tls_trial_level;
    if (around->tls_trial)
        for (const std::string& key : policy_keys(next_hop)) {
            const auto value = co_await around->tls_trial->find(key);
            if (!value)
                co_return Error{"table lookup error"};
            const std::optional<std::string>& text = *value;
            if (!text)
                continue;
            std::vector<std::string> remarks;
            auto parsed = parse_tls_policy(*text, remarks);
            if (!parsed)
                co_return parsed.error();
            if (!can_be_tried(parsed->level))
                co_return Error{fmt::format("level {} cannot be tried", level_name(parsed->level))};
            policy = *std::move(parsed);
            policy.sts.reset();
            break;
        }
    co_return policy;
}

bool is_dane(TlsLevel level) { return level == TlsLevel::dane || level == TlsLevel::dane_only; }

bool is_stricter(TlsLevel tried, const TlsSeen& seen) { return tried > seen.level && (tried != TlsLevel::dane || seen.asked < TlsLevel::dane); }

TrialFinding finding(std::string_view tried, TrialSeen::Outcome outcome, std::string reason = {})
{
    TrialFinding made;
    made.tried = tried;
    made.outcome = outcome;
    made.reason = std::move(reason);
    return made;
}

/// There are no records that could be used, or nobody can tell.
TrialSeen::Outcome without_records(const Error& why)
{
    const auto fault = fault_of(why.evidence());
    return fault == TlsFault::dane_required || fault == TlsFault::tlsa_invalid ? TrialSeen::REFUSED : TrialSeen::UNKNOWN;
}

}  // namespace

bool can_be_tried(TlsLevel level) { return level != TlsLevel::may && level != TlsLevel::fingerprint; }

awaitable<std::optional<TrialFinding>> judge_beside(TlsSeen seen, const Options* options, const Surroundings* around)
{
    auto policy = co_await find_tried(seen.host.next_hop, options, around);
    if (!policy)
        co_return finding("smtp_tls_trial_maps", TrialSeen::UNKNOWN, policy.error().what());
    const TlsLevel tried = policy->level;
    const std::string_view level = level_name(tried);
    if (!is_stricter(tried, seen))
        co_return std::nullopt;
    if (!around->tls)
        co_return finding(level, TrialSeen::UNKNOWN, "TLS is not used here");
    if (is_dane(tried) && !options->tls.no_dane.empty())
        co_return finding(level, TrialSeen::UNKNOWN, fmt::format("DANE {}", options->tls.no_dane));
    // What is wrong is told with the finding, not with each session in the log.
    Surroundings quiet(*around);
    quiet.log = observe::Log(std::make_shared<Unheard>(), "trial");
    const auto demand = co_await tls_demand(seen.host, *std::move(policy), options, &quiet);
    if (!demand)
        co_return finding(level, without_records(demand.error()), demand.error().what());
    if (!required(demand->level))
        co_return finding(level, TrialSeen::UNHELD);
    if (!seen.shown && seen.why_clear.empty())
        co_return finding(level, TrialSeen::UNKNOWN, "it offers STARTTLS, which is not used with it");
    if (!seen.shown)
        co_return finding(level, TrialSeen::REFUSED, std::move(seen.why_clear));
    tls::SecondLook look = around->tls->judge(*seen.shown, *demand);
    switch (look.verdict) {
    case tls::SecondLook::Verdict::fits: co_return finding(level, TrialSeen::PASSED);
    case tls::SecondLook::Verdict::less: co_return finding(level, TrialSeen::REFUSED, std::move(look.why));
    case tls::SecondLook::Verdict::unknown: break;
    }
    co_return finding(level, TrialSeen::UNKNOWN, std::move(look.why));
}

}  // namespace posthorn::send
