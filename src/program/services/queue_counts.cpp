// What the queue counts of itself, where it changes: places and ages, failures by destination and reason, results.
#include "handoff/counting.hpp"
#include "handoff/reasons.hpp"
#include "services/counters.hpp"
#include "services/queue_manager.hpp"

#include "base/strings.hpp"

#include <algorithm>

namespace posthorn::services {

namespace {

/// The domain, in lower case; of an address without one, the address.
std::string destination_of(std::string_view address)
{
    const auto at = address.rfind('@');
    return to_lower(at == address.npos ? address : address.substr(at + 1));
}

std::string_view result_of(handoff::Outcome outcome)
{
    switch (outcome) {
    case handoff::OUTCOME_DELIVERED: return "delivered";
    case handoff::OUTCOME_DEFERRED: return "deferred";
    case handoff::OUTCOME_EXPIRED: return "expired";
    default: return "bounced";
    }
}

}  // namespace

/// Where LIST says that it is.
void QueueManager::count_place(Key key)
{
    using Place = QueueTally::Place;
    tally_.moved(key, held_.contains(key) ? Place::hold : active_.contains(key) ? Place::active : Place::deferred);
}

void QueueManager::count_stored(const spool::Scheduled& message)
{
    tally_.arrived(message.lease.key, message.arrival, message.hold ? QueueTally::Place::hold : QueueTally::Place::deferred);
    for (const spool::ScheduledRecipient& recipient : message.recipients)
        if (!recipient.status.empty())
            tally_.failed(message.lease.key, {destination_of(recipient.address), std::string(handoff::reason_of(recipient.status)), {}, {}, {}});
}

void QueueManager::count_failure(Key key, std::string_view address, const handoff::Verdict& verdict, std::string_view site)
{
    tally_.failed(key, {destination_of(address), std::string(handoff::reason_of(verdict)), std::string(site), verdict.text(),
                        WallTime{std::chrono::microseconds{verdict.finished()}}});
}

void QueueManager::count_verdict(Key key, const Active& active, const handoff::Verdict& verdict)
{
    const std::size_t at = position(active, verdict.recipient());
    const handoff::Route* const route = at < active.routes.size() ? &active.routes[at] : nullptr;
    const std::string_view transport = route && !route->transport().empty() ? std::string_view(route->transport()) : "none";
    results_.add({transport, result_of(verdict.outcome()), handoff::status_class(verdict.status())});
    if (verdict.outcome() == handoff::OUTCOME_DEFERRED) {
        deferrals_.add({transport, handoff::reason_of(verdict)});
        if (at < active.recipients.size())
            count_failure(key, active.recipients[at].address(), verdict, route ? std::string_view(route->site()) : std::string_view());
    }
    if (verdict.outcome() != handoff::OUTCOME_DELIVERED || verdict.finished() == 0)
        return;
    delay_.add(std::chrono::microseconds{verdict.finished() - active.envelope.arrival()});
    if (verdict.connected() != 0)
        transmission_.add(std::chrono::microseconds{verdict.finished() - verdict.connected()});
}

void QueueManager::count(handoff::CountersReply& reply) const
{
    handoff::count(reply, qmgr_enqueued, counts_.enqueued);
    handoff::count(reply, qmgr_delivered, counts_.delivered);
    handoff::count(reply, qmgr_deferred, counts_.deferred);
    handoff::count(reply, qmgr_bounced, counts_.bounced);
    handoff::count(reply, qmgr_removed, counts_.removed);
    handoff::count(reply, qmgr_refused_to_client, counts_.refused_to_client);
    handoff::count(reply, qmgr_handed_over, counts_.handed_over);
    handoff::count(reply, qmgr_taken_over, counts_.taken_over);
    handoff::count(reply, qmgr_attempts, counts_.attempts);
    handoff::count(reply, qmgr_active, active());
    handoff::count(reply, qmgr_waiting, waiting());
    handoff::count(reply, qmgr_results, std::array<std::string_view, 3>{"transport", "result", "status"}, results_);
    handoff::count(reply, qmgr_deferrals, std::array<std::string_view, 2>{"transport", "reason"}, deferrals_);
    for (std::size_t place = 0; place < QueueTally::place_names.size(); ++place) {
        const QueueTally::Ages ages = tally_.ages(static_cast<QueueTally::Place>(place), clock_.wall());
        for (std::size_t range = 0; range < ages.size(); ++range)
            handoff::count(reply, queue_messages, ages[range], {{"queue", QueueTally::place_names[place]}, {"age", QueueTally::age_names[range]}});
    }
    handoff::count(reply, queue_groups, tally_.groups());
    for (const auto& [kind, name] : {std::pair{handoff::Order::SUSPEND, "suspend"}, {handoff::Order::BOUNCE, "bounce"}}) {
        const auto orders = std::ranges::count(orders_.all(), kind, &handoff::Order::kind);
        handoff::count(reply, queue_orders, static_cast<std::uint64_t>(orders), {{"order", name}});
    }
    count_accounts(reply);
    handoff::count(reply, delivery_delay, delay_);
    handoff::count(reply, delivery_transmission, transmission_);
}

}  // namespace posthorn::services
