// What the queue records (record_file) of messages: that they came, and what became of each recipient. Nothing is composed that is not wanted.
#include "services/queue_manager.hpp"

#include <fmt/format.h>

namespace posthorn::services {

using handoff::RecordType;
using handoff::Verdict;

namespace {

RecordType type_of(handoff::Outcome outcome)
{
    switch (outcome) {
    case handoff::OUTCOME_DELIVERED: return RecordType::delivery;
    case handoff::OUTCOME_DEFERRED: return RecordType::transient_failure;
    case handoff::OUTCOME_EXPIRED: return RecordType::expiration;
    default: return RecordType::bounce;
    }
}

/// An address that is asked about is no mail.
bool is_mail(const handoff::Envelope& envelope) { return envelope.purpose() != handoff::PURPOSE_VERIFY_ADDRESS; }

}  // namespace

bool QueueManager::records(RecordType type) const { return recorder_ != nullptr && options_.records.wants(type); }

void QueueManager::record_reception(const handoff::Envelope& envelope, std::string_view headers)
{
    if (!records(RecordType::reception) || !is_mail(envelope))
        return;
    for (const std::string& record : handoff::reception_records(envelope, headers, options_.records, now()))
        recorder_->record(record);
}

void QueueManager::record_moved(const handoff::Envelope& envelope, const handoff::Moved& moved, std::string_view headers)
{
    if (!records(moved.type) || !is_mail(envelope))
        return;
    for (const std::string& record : handoff::moving_records(envelope, moved, headers, options_.records, now()))
        recorder_->record(record);
}

/// After the judgement of the queue over it.
void QueueManager::record_fate(const Active& active, const Verdict& verdict, RecordType type, const handoff::SessionFacts* session)
{
    if (!records(type) || !is_mail(active.envelope))
        return;
    const std::size_t at = position(active, verdict.recipient());
    if (at >= active.recipients.size())
        return;
    const std::int64_t next = type == RecordType::transient_failure ? retry_time(active, {verdict}).time_since_epoch().count() : 0;
    recorder_->record(handoff::fate_record({.type = type,
                                            .envelope = active.envelope,
                                            .recipient = active.recipients[at],
                                            .verdict = verdict,
                                            .route = at < active.routes.size() ? &active.routes[at] : nullptr,
                                            .session = session,
                                            .active = active.since,
                                            .attempts = at < active.tries.size() ? active.tries[at] : 0,
                                            .next_attempt = next,
                                            .headers = active.record_headers},
                                           options_.records));
}

void QueueManager::record_fate(const Active& active, const Verdict& verdict, const handoff::SessionFacts* session)
{
    const bool ordered = verdict.outcome() == handoff::OUTCOME_BOUNCED && active.returned_by_order.contains(verdict.recipient());
    record_fate(active, verdict, ordered ? RecordType::admin_bounce : type_of(verdict.outcome()), session);
}

/// The fields of record_headers in a message that is stored. What cannot be read has none: whoever delivers it says so.
awaitable<std::string> QueueManager::stored_headers(spool::Lease lease)
{
    if (recorder_ == nullptr || options_.records.headers.empty())
        co_return std::string();
    const auto reader = co_await store_.content(lease);
    if (!reader)
        co_return std::string();
    std::string octets(std::min<std::uint64_t>((*reader)->size(), options_.header_size_limit), '\0');
    const auto got = (*reader)->read_at(0, octets);
    octets.resize(got ? *got : 0);
    co_return handoff::chosen_headers(octets, options_.records.headers);
}

/// What an operator is about to delete, as records of its recipients.
awaitable<std::vector<std::string>> QueueManager::deletion_records(spool::Lease lease)
{
    std::vector<std::string> made;
    auto stored = co_await store_.read(lease);
    if (!stored || !is_mail(stored->envelope))
        co_return made;
    const std::string headers = co_await stored_headers(lease);
    for (const spool::RecipientState& state : stored->recipients) {
        Verdict verdict = own_verdict(state.recipient.index(), handoff::OUTCOME_BOUNCED, "5.7.0", "deleted by an operator");
        made.push_back(handoff::fate_record({.type = RecordType::admin_bounce,
                                             .envelope = stored->envelope,
                                             .recipient = state.recipient,
                                             .verdict = verdict,
                                             .attempts = state.tries,
                                             .headers = headers},
                                            options_.records));
    }
    co_return made;
}

}  // namespace posthorn::services
