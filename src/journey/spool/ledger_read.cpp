// spool/ledger_read.cpp: what is asked of the database outside of a transaction, and the sweep.
#include "spool/ledger.hpp"

#include "handoff/queue_id.hpp"
#include "spool/hash.hpp"
#include "spool/incoming.hpp"
#include "spool/page.hpp"
#include "spool/schema.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace posthorn::spool {

namespace {

class OctetsReader final : public ContentReader {
public:
    explicit OctetsReader(std::string_view octets) : octets_(octets) {}
    std::uint64_t size() const override { return octets_.size(); }
    Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) const override
    {
        if (offset >= octets_.size())
            return 0;
        return octets_.copy(into.data(), into.size(), offset);
    }

private:
    std::string octets_;
};

class FileReader final : public ContentReader {
public:
    FileReader(std::unique_ptr<File> file, std::uint64_t size) : file_(std::move(file)), size_(size) {}
    std::uint64_t size() const override { return size_; }
    Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) const override
    {
        std::size_t got = 0;
        if (const int error = file_->read(offset, into, got))
            return Error{"content file: " + errno_text(error), "4.3.0"};
        return got;
    }
    int descriptor() const override { return file_->descriptor(); }

private:
    std::unique_ptr<File> file_;
    std::uint64_t size_;
};

RecipientState taken(StoredRecipient& stored, handoff::Recipient recipient)
{
    RecipientState state;
    state.recipient = std::move(recipient);
    state.tries = stored.tries();
    state.next_try = wall(stored.next_try());
    state.attempt = stored.attempt();
    if (stored.has_last())
        state.last = std::move(*stored.mutable_last());
    return state;
}

}  // namespace

bool Ledger::was_committed(const std::string& queue_id)
{
    const auto sequence = handoff::queue_id_sequence(queue_id);
    return sequence && (gone_.contains(make_key(setup_.node, *sequence)) || find(queue_id));
}

std::vector<std::pair<std::string, std::string>> Ledger::taken_over(const std::string& source, const std::vector<std::string>& queue_ids)
{
    std::vector<std::pair<std::string, std::string>> known;
    if (connection_.number("SELECT count(*) FROM sqlite_schema WHERE name = 'taken'") == 0)
        return known;
    for (const std::string& queue_id : queue_ids)
        if (auto here = taken_as(source, queue_id))
            known.emplace_back(queue_id, *std::move(here));
    return known;
}

std::optional<std::string> Ledger::taken_as(std::string_view source, std::string_view queue_id)
{
    Statement& found = prepared("SELECT here FROM taken WHERE source = ? AND queue_id = ?");
    const ResetAtEnd reset{found};
    if (!found.bind(1, source).bind(2, queue_id).step())
        return {};
    return std::string(found.blob(0));
}

std::optional<Lease> Ledger::find(const std::string& queue_id)
{
    const auto sequence = handoff::queue_id_sequence(queue_id);
    if (!sequence || *sequence >> sequence_bits)
        return {};
    const std::uint64_t key = make_key(setup_.node, *sequence);
    Row row;
    handoff::Envelope envelope;
    if (fetch(key, row, true) && row.parse(envelope) && envelope.queue_id() == queue_id)
        return Lease{key, epoch_};
    return {};
}

StoredMessage Ledger::stored(std::uint64_t key, const Row& row)
{
    StoredMessage message;
    message.lease = {key, epoch_};
    message.hold = row.flags & flag_hold;
    message.expire = row.flags & flag_expire;
    message.warned = row.flags & flag_warned;
    message.requeue = row.flags & flag_requeue;
    message.leaving = row.flags & flag_leaving;
    message.held_before = row.flags & flag_held_before;
    if (!row.parse(message.envelope))
        throw Failed(Failed::Kind::damaged, "an envelope cannot be read");
    if (row.flags & flag_rows) {
        Statement& rows = prepared("SELECT state FROM recipient WHERE key = ?");
        StoredRecipient recipient;
        for (rows.bind(1, static_cast<std::int64_t>(key)); rows.step();) {
            const std::string_view state = rows.blob(0);
            if (!recipient.ParseFromArray(state.data(), static_cast<int>(state.size())))
                throw Failed(Failed::Kind::damaged, "a recipient cannot be read");
            message.recipients.push_back(taken(recipient, std::move(*recipient.mutable_recipient())));
        }
        return message;
    }
    Row filled = row;
    fill_state(filled);
    for (StoredRecipient& recipient : *filled.state.mutable_recipients())
        if (static_cast<int>(recipient.index()) < message.envelope.recipients_size())
            message.recipients.push_back(taken(recipient, std::move(*message.envelope.mutable_recipients(static_cast<int>(recipient.index())))));
    message.envelope.clear_recipients();
    return message;
}

Scheduled Ledger::schedule(std::uint64_t key, const Row& row)
{
    thread_local handoff::Envelope envelope;           // parsing into the same object keeps its memory
    if (!row.parse(envelope))
        throw Failed(Failed::Kind::damaged, "an envelope cannot be read");
    Scheduled message;
    message.lease = {key, epoch_};
    message.queue_id = envelope.queue_id();
    message.sender = envelope.sender();
    message.arrival = row.arrival;
    message.size = row.size;
    message.hold = row.flags & flag_hold;
    message.expire = row.flags & flag_expire;
    message.warned = row.flags & flag_warned;
    message.requeue = row.flags & flag_requeue;
    message.leaving = row.flags & flag_leaving;
    if (envelope.has_release())
        message.release = envelope.release();
    if (row.flags & flag_rows) {
        Statement& rows = prepared("SELECT state FROM recipient WHERE key = ?");
        StoredRecipient recipient;
        for (rows.bind(1, static_cast<std::int64_t>(key)); rows.step();) {
            const std::string_view state = rows.blob(0);
            if (!recipient.ParseFromArray(state.data(), static_cast<int>(state.size())))
                throw Failed(Failed::Kind::damaged, "a recipient cannot be read");
            message.recipients.push_back(
                {recipient.index(), recipient.tries(), wall(recipient.next_try()), recipient.recipient().address(), recipient.last().status()});
        }
    } else if (row.has_state) {
        message.recipients.reserve(static_cast<std::size_t>(row.state.recipients_size()));
        for (const StoredRecipient& recipient : row.state.recipients())
            if (static_cast<int>(recipient.index()) < envelope.recipients_size())
                message.recipients.push_back({recipient.index(), recipient.tries(), wall(recipient.next_try()),
                                              envelope.recipients(static_cast<int>(recipient.index())).address(), recipient.last().status()});
    } else {
        for (const handoff::Recipient& recipient : envelope.recipients())
            message.recipients.push_back({recipient.index(), 0, {}, recipient.address(), {}});
    }
    return message;
}

Result<StoredMessage> Ledger::read(Lease lease)
{
    if (auto error = stale(lease))
        return std::move(*error);
    Row row;
    if (!fetch(lease.key, row, true))
        return Error{"message is not in the queue", "4.3.0"};
    return stored(lease.key, row);
}

Result<Scheduled> Ledger::scheduled(Lease lease)
{
    if (auto error = stale(lease))
        return std::move(*error);
    Row row;
    if (!fetch(lease.key, row, true))
        return Error{"message is not in the queue", "4.3.0"};
    return schedule(lease.key, row);
}

Result<std::unique_ptr<ContentReader>> Ledger::content(Lease lease)
{
    if (auto error = stale(lease))
        return std::move(*error);
    Row row;
    if (!fetch(lease.key, row, true))
        return Error{"message is not in the queue", "4.3.0"};
    if (row.flags & flag_file) {
        handoff::Envelope envelope;
        if (!row.parse(envelope))
            throw Failed(Failed::Kind::damaged, "an envelope cannot be read");
        std::unique_ptr<File> file;
        std::uint64_t size = 0;
        if (const int error = files().open(incoming_name(envelope.queue_id()), Open::read_only, file))
            return Error{fmt::format("content file {}: {}", envelope.queue_id(), errno_text(error)), "4.3.0"};
        if (const int error = file->lock_shared())
            return Error{fmt::format("content file {}: {}", envelope.queue_id(), errno_text(error)), "4.3.0"};
        if (file->size(size) != 0 || size != row.size)
            return Error{fmt::format("content file {} has {} octets instead of {}", envelope.queue_id(), size, row.size), "4.3.0"};
        return std::unique_ptr<ContentReader>(std::make_unique<FileReader>(std::move(file), size));
    }
    Statement& found = prepared("SELECT octets FROM content WHERE key = ?");
    const ResetAtEnd reset{found};
    if (!found.bind(1, static_cast<std::int64_t>(lease.key)).step())
        return Error{"message content is lost", "4.3.0"};
    if (content_hash(found.blob(0)) != static_cast<std::uint64_t>(row.hash))
        return Error{"message content is damaged", "4.3.0"};
    return std::unique_ptr<ContentReader>(std::make_unique<OctetsReader>(found.blob(0)));
}

template <class T>
Page<T> Ledger::page(std::uint64_t after, std::size_t limit, T (Ledger::*make)(std::uint64_t, const Row&))
{
    Page<T> page;
    page.next = after;
    page.entries.reserve(std::min<std::size_t>(limit, 4096));
    Statement& rows = prepared("SELECT key, flags, recipients, arrival, size, hash, state, envelope FROM message WHERE key > ? ORDER BY key LIMIT ?");
    const ResetAtEnd reset{rows};
    rows.bind(1, static_cast<std::int64_t>(after)).bind(2, static_cast<std::int64_t>(limit));
    Row row;
    std::size_t octets = 0;
    while (octets < page_octets && rows.step()) {
        page.next = static_cast<std::uint64_t>(rows.integer(0));
        take_row(rows, row, 1, true);
        page.entries.push_back((this->*make)(page.next, row));
        octets += octets_of(page.entries.back());
    }
    page.done = octets < page_octets && page.entries.size() < limit;
    return page;
}

Page<Scheduled> Ledger::load(std::uint64_t after, std::size_t limit) { return page(after, limit, &Ledger::schedule); }
Page<StoredMessage> Ledger::list(std::uint64_t after, std::size_t limit) { return page(after, limit, &Ledger::stored); }

bool Ledger::names_file(const std::string& queue_id)
{
    const auto lease = find(queue_id);
    Row row;
    return lease && fetch(lease->key, row, false) && (row.flags & flag_file);
}

std::size_t Ledger::sweep(std::chrono::seconds orphan_age)
{
    std::vector<Entry> entries;
    if (const int error = files().list(incoming_folder, entries))
        throw Failed(Failed::Kind::fatal, fmt::format("{}: {}", incoming_folder, errno_text(error)));
    std::size_t removed = 0;
    for (const Entry& entry : entries) {
        if (entry.age >= orphan_age && is_spare(entry.name))
            files().remove(incoming_name(entry.name));     // none came to write over it: what the message said, and its room, do not stay
        if (entry.folder || entry.age < orphan_age || !handoff::is_queue_id(entry.name) || names_file(entry.name) ||
            std::ranges::any_of(unlink_held_, [&](const std::string& held) { return held.ends_with('/' + entry.name); }))
            continue;
        const std::string name = incoming_name(entry.name);
        std::unique_ptr<File> file;
        if (files().open(name, Open::read_write, file) != 0 || file->lock() != 0)
            continue;                                  // its writer lives, or it is gone
        removed += files().remove(name) == 0;
    }
    return removed;
}

Page<std::string> Ledger::check_content(std::uint64_t after, std::size_t limit)
{
    Page<std::string> findings;
    std::vector<std::uint64_t> keys;
    {
        Statement& rows = prepared("SELECT key FROM message WHERE key > ? ORDER BY key LIMIT ?");
        for (rows.bind(1, static_cast<std::int64_t>(after)).bind(2, static_cast<std::int64_t>(limit)); rows.step();)
            keys.push_back(static_cast<std::uint64_t>(rows.integer(0)));
    }
    findings.next = keys.empty() ? after : keys.back();
    findings.done = keys.size() < limit;
    for (const std::uint64_t key : keys) {
        Row row;
        handoff::Envelope envelope;
        if (!fetch(key, row, true) || !row.parse(envelope)) {
            findings.entries.push_back(fmt::format("message {}: its envelope cannot be read", key));
            continue;
        }
        if (auto reader = content({key, epoch_}); !reader)
            findings.entries.push_back(fmt::format("{}: {}", envelope.queue_id(), reader.error().text()));
    }
    return findings;
}

std::vector<std::string> Ledger::check_structure()
{
    std::vector<std::string> findings;
    Statement check(connection_, "PRAGMA integrity_check(20)");
    while (check.step())
        if (const std::string_view line = check.blob(0); line != "ok")
            findings.emplace_back(line);
    return findings;
}

}  // namespace posthorn::spool
