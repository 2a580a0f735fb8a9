// Levels of TLS on trial: what they had made of the sessions of mail, found out beside them and told (tls_trial.hpp).
#include "send/agent_core.hpp"

#include "send/tls_trial.hpp"

namespace posthorn::send {

namespace {

constexpr std::size_t trials_at_once = 500, trials_said_at_most = 10'000;
constexpr std::chrono::hours trial_said_again{1};

std::string why_in_clear(const Session& session)
{
    if (session.in_clear())
        return "TLS handshake failed";
    const auto& outcome = session.tls_outcome();
    if (outcome && outcome->fault && !outcome->reason.empty())
        return fmt::format("STARTTLS is refused: {}", outcome->reason);
    return session.features().has(smtp::Keyword::starttls) ? "" : "STARTTLS is not offered";
}

}  // namespace

bool Agent::Core::tries_levels(const Job& job, const Host& host) const
{
    return around.trials && (options.tls_trial_level != TlsLevel::none || around.tls_trial) && !options.lmtp && !host.endpoint.is_unix() &&
           !job.request.probe() && !job.tls_optional;                 // which no level keeps back
}

void Agent::Core::try_level(const Job& job, const Session& session)
{
    TlsSeen seen(session.whom(), session.demand().level, session.demand().asked);
    seen.shown = session.shown();
    if (!session.secured())
        seen.why_clear = why_in_clear(session);
    handoff::TrialSeen told;
    told.set_out(true);
    told.set_count(1);
    told.set_whom(seen.host.next_hop);
    told.set_host(seen.host.name);
    const handoff::Envelope& envelope = job.request.envelope();
    handoff::TrialSample& sample = *told.mutable_sample();
    sample.set_time(micros(around.clock.wall()));
    sample.set_queue_id(envelope.queue_id());
    sample.set_peer(seen.host.text());
    sample.set_has_sender(true);
    sample.set_sender(envelope.sender());
    sample.set_recipient(envelope.recipients_size() > 0 ? envelope.recipients(0).address() : "");
    if (trials_under_way >= trials_at_once) {
        told.set_tried(options.tls_trial_level == TlsLevel::none ? "smtp_tls_trial_maps" : std::string(level_name(options.tls_trial_level)));
        told.set_outcome(handoff::TrialSeen::UNKNOWN);
        told.set_reason("too many sessions were judged at once");
        around.trials->tell(std::move(told));
        return;
    }
    ++trials_under_way;
    tasks.spawn(find_out(std::move(seen), std::move(told)));
}

awaitable<void> Agent::Core::find_out(TlsSeen seen, handoff::TrialSeen told)
{
    const std::string relay = seen.host.relay();
    const auto found = co_await judge_beside(std::move(seen), &options, &around);
    --trials_under_way;
    if (!found)
        co_return;
    told.set_tried(found->tried);
    told.set_outcome(found->outcome);
    told.set_reason(found->reason);
    if (found->outcome == handoff::TrialSeen::REFUSED)
        say_refused(told, relay);
    around.trials->tell(std::move(told));
}

void Agent::Core::say_refused(const handoff::TrialSeen& told, const std::string& relay)
{
    const SteadyTime now = around.clock.steady();
    if (trials_said.size() >= trials_said_at_most)
        std::erase_if(trials_said, [&](const auto& one) { return now - one.second >= trial_said_again; });
    if (trials_said.size() >= trials_said_at_most)
        return;                                                       // all of them within the hour: the list has it
    auto& said = trials_said[fmt::format("{}\n{}\n{}\n{}", told.tried(), told.whom(), told.host(), told.reason())];
    if (said != SteadyTime{} && now - said < trial_said_again)
        return;
    said = now;
    around.log.info("TLS trial: at level {} no mail had gone to {} for {}: {}", told.tried(), relay, told.whom(), told.reason());
}

}  // namespace posthorn::send
