// What becomes of a stored message: settled by verdicts, altered, removed, replaced by another.
#include "handoff/queue_id.hpp"
#include "spool/incoming.hpp"
#include "spool/ledger.hpp"
#include "spool/schema.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::spool {

namespace {

bool is_final(const handoff::Verdict& verdict) { return verdict.outcome() != handoff::OUTCOME_DEFERRED; }

void note_verdict(StoredRecipient& recipient, const handoff::Verdict& verdict, const Settlement& settlement)
{
    recipient.set_attempt(settlement.attempt);
    recipient.set_tries(recipient.tries() + 1);
    recipient.set_next_try(micros(settlement.next_try));
    *recipient.mutable_last() = stored_verdict(verdict);
}

}  // namespace

Result<Settled> Ledger::settle(const Settlement& settlement)
{
    if (auto error = stale(settlement.lease))
        return std::move(*error);
    for (const NewMessageRef& report : settlement.reports)
        if (auto error = check(*report, false))
            return std::move(*error);
    const std::uint64_t key = settlement.lease.key;
    Settled settled{settlement.lease, false, {}};
    Row row;
    if (!fetch(key, row, false)) {
        settled.removed = true;                // settled before: verdicts are repeated after a restart
        return settled;
    }
    // With reports the whole may still be refused; then nothing of it may stay in the transaction that others share.
    const std::size_t gone_before = gone_next_.size(), unlink_before = unlink_next_.size();
    if (!settlement.reports.empty())
        prepared("SAVEPOINT settle").run();
    bool changed = false, left = true;
    if (row.flags & flag_rows) {
        left = settle_rows(settlement, changed);
    } else {
        fill_state(row);
        auto& recipients = *row.state.mutable_recipients();
        for (const handoff::Verdict& verdict : settlement.verdicts) {
            const auto found = std::ranges::find(recipients, verdict.recipient(), &StoredRecipient::index);
            if (found == recipients.end() || settlement.attempt <= found->attempt())
                continue;
            changed = true;
            if (is_final(verdict))
                recipients.erase(found);
            else
                note_verdict(*found, verdict, settlement);
        }
        left = !recipients.empty();
        if (changed && left) {
            row.state.SerializeToString(&scratch_);
            prepared("UPDATE message SET state = ? WHERE key = ?").bind(1, scratch_).bind(2, static_cast<std::int64_t>(key)).run();
        }
    }
    if (!left) {
        if (row.flags & flag_file)
            fetch(key, row, true);             // the file's name is in the envelope
        drop(key, row, true);
        if (settlement.disowned)
            gone_next_.pop_back();
        settled.removed = true;
    } else if (changed && settlement.warned) {
        prepared("UPDATE message SET flags = flags | 4 WHERE key = ?").bind(1, static_cast<std::int64_t>(key)).run();
    }
    if (changed) {
        note(key);
        for (const NewMessageRef& report : settlement.reports) {
            auto lease = enqueue(*report);
            if (!lease) {
                prepared("ROLLBACK TO settle").run();
                prepared("RELEASE settle").run();
                gone_next_.resize(gone_before);
                unlink_next_.resize(unlink_before);
                return std::move(lease).error();
            }
            settled.reports.push_back(*lease);
        }
    }
    if (!settlement.reports.empty())
        prepared("RELEASE settle").run();
    return settled;
}

bool Ledger::settle_rows(const Settlement& settlement, bool& changed)
{
    const auto key = static_cast<std::int64_t>(settlement.lease.key);
    Statement& find = prepared("SELECT state FROM recipient WHERE key = ? AND position = ?");
    StoredRecipient recipient;
    for (const handoff::Verdict& verdict : settlement.verdicts) {
        {
            const ResetAtEnd reset{find};
            if (!find.bind(1, key).bind(2, verdict.recipient()).step())
                continue;
            const std::string_view state = find.blob(0);
            if (!recipient.ParseFromArray(state.data(), static_cast<int>(state.size())))
                throw Failed(Failed::Kind::damaged, "a recipient cannot be read");
        }
        if (settlement.attempt <= recipient.attempt())
            continue;
        changed = true;
        if (is_final(verdict)) {
            prepared("DELETE FROM recipient WHERE key = ? AND position = ?").bind(1, key).bind(2, verdict.recipient()).run();
        } else {
            note_verdict(recipient, verdict, settlement);
            recipient.SerializeToString(&scratch_);
            prepared("UPDATE recipient SET state = ? WHERE key = ? AND position = ?")
                .bind(1, scratch_)
                .bind(2, key)
                .bind(3, verdict.recipient())
                .run();
        }
    }
    Statement& left = prepared("SELECT 1 FROM recipient WHERE key = ? LIMIT 1");
    const ResetAtEnd reset{left};
    return left.bind(1, key).step();
}

Result<std::size_t> Ledger::alter(const std::vector<Lease>& leases, const Change& change)
{
    for (const Lease lease : leases)
        if (auto error = stale(lease))
            return std::move(*error);
    std::size_t altered = 0;
    StoredRecipient recipient;
    for (const Lease lease : leases) {
        const auto key = static_cast<std::int64_t>(lease.key);
        Row row;
        if (!fetch(lease.key, row, false))
            continue;
        const auto set = [&](std::int64_t flag, std::optional<bool> to) {
            if (to)
                row.flags = *to ? row.flags | flag : row.flags & ~flag;
        };
        set(flag_hold, change.hold);
        set(flag_expire, change.expire);
        set(flag_requeue, change.requeue);
        if (change.leaving && *change.leaving != ((row.flags & flag_leaving) != 0)) {
            const bool held = row.flags & (*change.leaving ? flag_hold : flag_held_before);
            set(flag_leaving, *change.leaving);
            set(flag_held_before, *change.leaving && held);
            set(flag_hold, *change.leaving || held);
        }
        prepared("UPDATE message SET flags = ? WHERE key = ?").bind(1, row.flags).bind(2, key).run();
        if (change.next_try && (row.flags & flag_rows)) {
            std::vector<std::pair<std::int64_t, std::string>> states;
            Statement& all = prepared("SELECT position, state FROM recipient WHERE key = ?");
            for (all.bind(1, key); all.step();)
                states.emplace_back(all.integer(0), all.blob(1));
            for (auto& [position, state] : states) {
                if (!recipient.ParseFromString(state))
                    throw Failed(Failed::Kind::damaged, "a recipient cannot be read");
                recipient.set_next_try(micros(*change.next_try));
                recipient.SerializeToString(&state);
                prepared("UPDATE recipient SET state = ? WHERE key = ? AND position = ?").bind(1, state).bind(2, key).bind(3, position).run();
            }
        } else if (change.next_try) {
            fill_state(row);
            for (StoredRecipient& each : *row.state.mutable_recipients())
                each.set_next_try(micros(*change.next_try));
            row.state.SerializeToString(&scratch_);
            prepared("UPDATE message SET state = ? WHERE key = ?").bind(1, scratch_).bind(2, key).run();
        }
        note(lease.key);
        ++altered;
    }
    return altered;
}

Result<std::size_t> Ledger::remove(const std::vector<Lease>& leases)
{
    for (const Lease lease : leases)
        if (auto error = stale(lease))
            return std::move(*error);
    std::size_t removed = 0;
    for (const Lease lease : leases) {
        Row row;
        if (!fetch(lease.key, row, true))
            continue;
        drop(lease.key, row, true);
        ++removed;
    }
    return removed;
}

void Ledger::forget_taken_over(const std::string& source, const std::vector<std::string>& queue_ids)
{
    connection_.run(taken_table);
    for (const std::string& queue_id : queue_ids)
        prepared("DELETE FROM taken WHERE source = ? AND queue_id = ?").bind(1, source).bind(2, queue_id).run();
}

Result<Lease> Ledger::replace(Lease old, const NewMessage& message)
{
    if (auto error = stale(old))
        return std::move(*error);
    if (auto error = check(message, true))
        return std::move(*error);
    Row row;
    if (!fetch(old.key, row, true))
        return Error{"message is not in the queue", "4.3.0"};
    const std::uint64_t key = key_of(message);
    if (key == old.key)
        return Error{"a requeued message needs a queue id of its own", "4.3.0"};
    const bool takes_over = message.content.inline_octets().empty() && message.content.file().empty();
    if (!takes_over) {
        TRY(const Lease lease, enqueue(message));
        drop(old.key, row, true);
        return lease;
    }
    if (message.envelope.size() != row.size)
        return Error{"content is not as long as its envelope says", "4.3.0"};
    const bool in_file = row.flags & flag_file;
    if (in_file) {
        handoff::Envelope envelope;
        if (!row.parse(envelope))
            throw Failed(Failed::Kind::damaged, "an envelope cannot be read");
        int error = files().link(incoming_name(envelope.queue_id()), incoming_name(message.envelope.queue_id()));
        if (error == 0 || error == EEXIST)
            error = files().sync_folder(incoming_folder);
        if (error)
            return Error{fmt::format("content file {}: {}", envelope.queue_id(), errno_text(error)), error == ENOSPC ? "4.3.1" : "4.3.0"};
    }
    TRY(const Lease lease, insert(message, static_cast<std::uint64_t>(row.hash), in_file, false));
    if (!in_file)
        prepared("UPDATE OR REPLACE content SET key = ? WHERE key = ?")
            .bind(1, static_cast<std::int64_t>(key))
            .bind(2, static_cast<std::int64_t>(old.key))
            .run();
    drop(old.key, row, false);
    return lease;
}

}  // namespace posthorn::spool
