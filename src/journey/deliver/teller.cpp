#include "deliver/teller.hpp"

#include "handoff/delivery_log.hpp"
#include "handoff/status_filter.hpp"

#include <fmt/format.h>

namespace posthorn::deliver {

bool only_asked(const handoff::DeliveryRequest& request)
{
    return request.probe() || request.envelope().purpose() == handoff::PURPOSE_VERIFY_ADDRESS;
}

awaitable<Fate> Teller::filtered(const std::string* queue_id, Fate fate) const
{
    if (!filter_)
        co_return fate;
    const auto found = co_await filter_(fmt::format("{} {}", fate.status, fate.text));
    if (!found) {
        log_.warning("{}: delivery_status_filter: {}", *queue_id, found.error().text());
        if (fate.end == Fate::End::bounced) {
            fate.end = Fate::End::deferred;
            fate.status.replace(0, 1, "4");
        }
        co_return fate;
    }
    const std::optional<std::string>& result = *found;
    if (!result)
        co_return fate;
    auto replaced = handoff::replaced_by(fate.status, *result);
    if (!replaced) {
        log_.warning("{}: delivery_status_filter: {}", *queue_id, replaced.error().text());
        co_return fate;
    }
    fate.status = std::move(replaced->status);
    fate.text = std::move(replaced->text);
    if (fate.end != Fate::End::delivered)
        fate.end = fate.status.starts_with('5') ? Fate::End::bounced : Fate::End::deferred;
    co_return fate;
}

awaitable<handoff::Verdict> Teller::tell(const handoff::DeliveryRequest* request, const handoff::Recipient* recipient, Fate fate,
                                         std::int64_t began) const
{
    const handoff::Envelope& envelope = request->envelope();
    fate = co_await filtered(&envelope.queue_id(), std::move(fate));
    const bool probe = only_asked(*request);
    const bool soft = fate.end == Fate::End::bounced && options_.soft_bounce && !probe;
    handoff::Verdict verdict;
    verdict.set_recipient(recipient->index());
    verdict.set_relay(options_.relay);
    verdict.set_connected(began);
    verdict.set_finished(now());
    verdict.set_status(soft ? "4" + fate.status.substr(1) : fate.status);
    verdict.set_text(fate.text);
    if (fate.end == Fate::End::delivered) {
        verdict.set_outcome(handoff::OUTCOME_DELIVERED);
        verdict.set_action(fate.action);
    } else {
        const bool permanent = fate.end == Fate::End::bounced && !soft;
        verdict.set_outcome(!permanent ? handoff::OUTCOME_DEFERRED : probe ? handoff::OUTCOME_UNDELIVERABLE : handoff::OUTCOME_BOUNCED);
        verdict.set_action(permanent ? "failed" : "delayed");
    }
    const bool cached = options_.failed_probes_cached || request->message() != 0;
    const handoff::DeliveryTimes times{
        .arrival = envelope.arrival(), .active = request->active_since(), .connecting = began, .connected = began, .finished = verdict.finished()};
    log_.write(observe::Level::info,
               handoff::delivery_line(envelope.queue_id(), *recipient, verdict, times,
                                      soft ? "SOFTBOUNCE" : handoff::status_word(verdict.outcome(), probe, cached), 0, options_.delay_digits));
    co_return verdict;
}

}  // namespace posthorn::deliver
