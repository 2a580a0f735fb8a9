#include "spool/ledger.hpp"

#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "handoff/queue_id.hpp"
#include "spool/hash.hpp"
#include "spool/incoming.hpp"
#include "spool/schema.hpp"

#include <sqlite3.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace posthorn::spool {

namespace {

constexpr std::size_t text_limit = 4096;        // of one text in a verdict

int on_log(void* ledger, sqlite3*, const char*, int pages)
{
    static_cast<Ledger*>(ledger)->note_log(pages);
    return SQLITE_OK;
}

}  // namespace

handoff::Verdict stored_verdict(const handoff::Verdict& verdict)
{
    handoff::Verdict clipped = verdict;
    const auto clip = [](std::string* text) {
        if (!is_valid_utf8(*text))
            *text = printable(*text);                              // a Latin-1 reply; a string that is not UTF-8 is never read again
        if (text->size() <= text_limit)
            return;
        std::size_t end = text_limit;                              // not inside a UTF-8 character
        while (end > 0 && (static_cast<unsigned char>((*text)[end]) & 0xC0) == 0x80)
            --end;
        text->resize(end);
    };
    clip(clipped.mutable_text());
    clip(clipped.mutable_diagnostic());
    clip(clipped.mutable_relay());
    clip(clipped.mutable_remote_mta());
    return clipped;
}

std::optional<Error> malformed(const NewMessage& message, bool content_follows)
{
    const handoff::Envelope& envelope = message.envelope;
    const auto sequence = handoff::queue_id_sequence(envelope.queue_id());
    if (!sequence || *sequence == 0 || *sequence >> sequence_bits)
        return Error{fmt::format("bad queue id \"{}\"", envelope.queue_id()), "4.3.0"};
    if (envelope.recipients().empty())
        return Error{"message without recipients", "4.3.0"};
    for (int i = 0; i < envelope.recipients_size(); ++i)
        if (envelope.recipients(i).index() != static_cast<std::uint32_t>(i))
            return Error{"recipients are not numbered by their position", "4.3.0"};
    if (message.taken_over && message.taken_over->states.size() != static_cast<std::size_t>(envelope.recipients_size()))
        return Error{"not every recipient of a message that is taken over has its state", "4.3.0"};
    const handoff::Content& content = message.content;
    if (content_follows && content.inline_octets().empty() && content.file().empty())
        return {};
    if (content.file().empty()) {
        if (content.inline_octets().size() > handoff::inline_content_limit)
            return Error{"content is too large to travel inside a frame", "4.3.0"};
        if (content.inline_octets().size() != envelope.size())
            return Error{"content is not as long as its envelope says", "4.3.0"};
    } else if (!content.inline_octets().empty() || content.file() != envelope.queue_id()) {
        return Error{"content file does not bear the queue id", "4.3.0"};
    }
    return {};
}

Ledger::Ledger(SqliteVfs& vfs, Setup setup)
    : vfs_(vfs), setup_(std::move(setup)), connection_(setup_.name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs.name())
{
}

Ledger::~Ledger() = default;

Result<std::unique_ptr<Ledger>> Ledger::open(SqliteVfs& vfs, Setup setup, WallTime now)
{
    std::unique_ptr<Ledger> ledger(new Ledger(vfs, std::move(setup)));
    Connection& db = ledger->connection_;
    db.run("PRAGMA locking_mode = EXCLUSIVE");                 // first: without shared memory WAL works in no other mode
    db.run("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = OFF;"
           "PRAGMA foreign_keys = OFF");
    db.run(fmt::format("PRAGMA cache_size = -{}", ledger->setup_.cache_octets >> 10));
    if (ledger->setup_.durable) {
        if (const std::string mode = db.text("PRAGMA journal_mode = WAL"); mode != "wal")
            throw Failed(Failed::Kind::fatal, "journal_mode is " + mode + ", not wal");
        db.run("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
        sqlite3_wal_hook(db.get(), on_log, ledger.get());
    } else {
        db.run("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF");
    }
    TRY_VOID(bring_up(db, upgrades()));
    if (ledger->setup_.durable && (db.number("PRAGMA synchronous") != 2 || db.number("PRAGMA auto_vacuum") != 2))
        throw Failed(Failed::Kind::fatal, "the database does not keep to synchronous=FULL and auto_vacuum=INCREMENTAL");
    ledger->begin();
    ledger->prepared("UPDATE counter SET value = value + 1 WHERE id = ?").bind(1, counter_epoch).run();
    ledger->epoch_ = static_cast<std::uint64_t>(db.number("SELECT value FROM counter WHERE id = 3"));
    ledger->load_gone(now);
    ledger->commit(now);
    return ledger;
}

Statement& Ledger::prepared(const char* sql)
{
    const auto found = statements_.find(sql);
    return found != statements_.end() ? found->second : statements_.emplace(sql, Statement(connection_, sql)).first->second;
}

void Ledger::note_log(int pages) { log_octets_ = static_cast<std::uint64_t>(pages) * (4096 + 24); }

void Ledger::begin() { prepared("BEGIN IMMEDIATE").run(); }

void Ledger::commit(WallTime now) { remove_files(end_transaction(now)); }

std::vector<std::string> Ledger::commit_unsynced(WallTime now)
{
    const SqliteVfs::LeftToOthers left(vfs_);
    return end_transaction(now);
}

std::vector<std::string> Ledger::end_transaction(WallTime now)
{
    if (!gone_next_.empty()) {
        if (now - purged_ > std::chrono::seconds{1} || now < purged_) {
            prepared("DELETE FROM gone WHERE at < ?").bind(1, micros(now - setup_.remember_removed)).run();
            purged_ = now;
        }
        const std::string_view keys(reinterpret_cast<const char*>(gone_next_.data()), gone_next_.size() * sizeof(std::uint64_t));
        prepared("INSERT INTO gone(at, number, keys) VALUES(?, ?, ?)")
            .bind(1, micros(now))
            .bind(2, static_cast<std::int64_t>(gone_next_.size()))
            .bind(3, keys)
            .run();
    }
    prepared("COMMIT").run();

    while (!gone_order_.empty() && gone_order_.front().until < now) {
        for (const std::uint64_t key : gone_order_.front().keys)
            gone_.erase(key);
        gone_order_.pop_front();
    }
    if (!gone_next_.empty()) {
        gone_.insert(gone_next_.begin(), gone_next_.end());
        gone_order_.push_back({now + setup_.remember_removed, std::move(gone_next_)});
        gone_next_.clear();
    }
    return std::exchange(unlink_next_, {});
}

void Ledger::remove_files(std::vector<std::string> names)
{
    for (std::string& name : names) {
        if (files_held_ > 0)
            unlink_held_.push_back(std::move(name));
        else
            retire(files(), name);
    }
}

void Ledger::rollback()
{
    gone_next_.clear();
    unlink_next_.clear();
    if (connection_.in_transaction())
        connection_.run("ROLLBACK");           // SQLite may have rolled back by itself
}

void Ledger::load_gone(WallTime now)
{
    Statement& rows = prepared("SELECT keys FROM gone");
    while (rows.step()) {
        const std::string_view blob = rows.blob(0);
        std::vector<std::uint64_t> keys(blob.size() / sizeof(std::uint64_t));
        if (keys.empty())                      // damaged: each row is of a commit that removed something
            continue;
        std::memcpy(keys.data(), blob.data(), keys.size() * sizeof(std::uint64_t));
        gone_.insert(keys.begin(), keys.end());
        // Counted from now: those who ask could not while nobody answered.
        gone_order_.push_back({now + setup_.remember_removed, std::move(keys)});
    }
    prepared("UPDATE gone SET at = ?").bind(1, micros(now)).run();
}

void Ledger::release_files()
{
    if (--files_held_ > 0)
        return;
    for (const std::string& name : unlink_held_)
        retire(files(), name);
    unlink_held_.clear();
}

void Ledger::unlink(std::string name) { unlink_next_.push_back(std::move(name)); }

void Ledger::note(std::uint64_t key)
{
    if (changed_)
        changed_->push_back(key);
}

std::optional<Error> Ledger::stale(Lease lease) const
{
    if (lease.epoch == epoch_)
        return {};
    return Error{fmt::format("stale lease: epoch {}, now {}", lease.epoch, epoch_), "4.3.0"};
}

std::optional<Error> Ledger::check(const NewMessage& message, bool content_follows)
{
    if (auto error = malformed(message, content_follows))
        return error;
    if (message.content.file().empty())
        return {};
    std::unique_ptr<File> file;
    std::uint64_t size = 0;
    if (const int error = files().open(incoming_name(message.content.file()), Open::read_only, file))
        return Error{fmt::format("content file {}: {}", message.content.file(), errno_text(error)), "4.3.0"};
    if (file->size(size) != 0 || size != message.envelope.size())
        return Error{fmt::format("content file {} is not as long as its envelope says", message.content.file()), "4.3.0"};
    if (const int error = files().take_in(incoming_name(message.content.file())))
        return Error{fmt::format("content file {}: {}", message.content.file(), errno_text(error)), "4.3.0"};
    return {};
}

Result<Lease> Ledger::enqueue(const NewMessage& message)
{
    if (auto error = check(message, false))
        return std::move(*error);
    const bool in_file = !message.content.file().empty();
    if (message.taken_over) {
        connection_.run(taken_table);
        if (const auto here = taken_as(message.taken_over->source, message.taken_over->queue_id); here && *here != message.envelope.queue_id())
            return find(*here).value_or(Lease{0, epoch_});
    }
    return insert(message, in_file ? 0 : content_hash(message.content.inline_octets()), in_file, !in_file);
}

Result<Lease> Ledger::insert(const NewMessage& message, std::uint64_t hash, bool in_file, bool store_content)
{
    const handoff::Envelope& envelope = message.envelope;
    const std::uint64_t key = key_of(message);
    if (gone_.contains(key) || std::ranges::find(gone_next_, key) != gone_next_.end())
        return Lease{0, epoch_};
    const bool rows = static_cast<std::size_t>(envelope.recipients_size()) > inline_recipients;
    if (rows) {
        handoff::Envelope without = envelope;
        without.clear_recipients();
        without.SerializeToString(&scratch_);
    } else {
        envelope.SerializeToString(&scratch_);
    }
    prepared("INSERT OR IGNORE INTO message(key, flags, arrival, size, hash, recipients, state, envelope) VALUES(?, ?, ?, ?, ?, ?, NULL, ?)")
        .bind(1, static_cast<std::int64_t>(key))
        .bind(2, (envelope.hold() ? flag_hold : 0) | (rows ? flag_rows : 0) | (in_file ? flag_file : 0))
        .bind(3, envelope.arrival())
        .bind(4, static_cast<std::int64_t>(envelope.size()))
        .bind(5, static_cast<std::int64_t>(hash))
        .bind(6, envelope.recipients_size())
        .bind(7, scratch_)
        .run();
    if (connection_.changes() == 0) {
        Row row;
        handoff::Envelope there;
        if (fetch(key, row, true) && row.parse(there) && there.queue_id() == envelope.queue_id())
            return Lease{key, epoch_};         // asked again: it is committed, or will be with this transaction
        return Error{fmt::format("queue id {}: another message has this number", envelope.queue_id()), "4.3.0"};
    }
    if (store_content)
        prepared("INSERT OR REPLACE INTO content(key, octets) VALUES(?, ?)")
            .bind(1, static_cast<std::int64_t>(key))
            .bind(2, message.content.inline_octets())
            .run();
    if (rows) {
        StoredRecipient state;
        Statement& insert = prepared("INSERT INTO recipient(key, position, state) VALUES(?, ?, ?)");
        for (const handoff::Recipient& recipient : envelope.recipients()) {
            *state.mutable_recipient() = recipient;
            state.set_index(recipient.index());
            state.SerializeToString(&scratch_);
            insert.bind(1, static_cast<std::int64_t>(key)).bind(2, recipient.index()).bind(3, scratch_).run();
        }
    }
    if (message.taken_over)
        set_taken_over(key, message.envelope, *message.taken_over);
    note(key);
    return Lease{key, epoch_};
}

/// What a message was in the queue that it comes from, and that it came.
void Ledger::set_taken_over(std::uint64_t key, const handoff::Envelope& envelope, const TakenOver& taken)
{
    const std::int64_t flags = (taken.expire ? flag_expire : 0) | (taken.warned ? flag_warned : 0) | (taken.requeue ? flag_requeue : 0);
    prepared("UPDATE message SET flags = flags | ? WHERE key = ?").bind(1, flags).bind(2, static_cast<std::int64_t>(key)).run();
    const bool rows = static_cast<std::size_t>(envelope.recipients_size()) > inline_recipients;
    StoredRecipients all;
    for (std::size_t at = 0; at < taken.states.size(); ++at) {
        const RecipientState& was = taken.states[at];
        StoredRecipient& state = *all.add_recipients();
        state.set_index(static_cast<std::uint32_t>(at));
        state.set_tries(was.tries);
        state.set_next_try(micros(was.next_try));
        if (was.last)
            *state.mutable_last() = stored_verdict(*was.last);
        if (!rows)
            continue;
        *state.mutable_recipient() = envelope.recipients(static_cast<int>(at));
        state.SerializeToString(&scratch_);
        prepared("UPDATE recipient SET state = ? WHERE key = ? AND position = ?")
            .bind(1, scratch_)
            .bind(2, static_cast<std::int64_t>(key))
            .bind(3, state.index())
            .run();
    }
    if (!rows && !taken.states.empty()) {
        all.SerializeToString(&scratch_);
        prepared("UPDATE message SET state = ? WHERE key = ?").bind(1, scratch_).bind(2, static_cast<std::int64_t>(key)).run();
    }
    prepared("INSERT INTO taken(at, source, queue_id, here) VALUES(?, ?, ?, ?)")
        .bind(1, envelope.arrival())
        .bind(2, taken.source)
        .bind(3, taken.queue_id)
        .bind(4, envelope.queue_id())
        .run();
}

void Ledger::take_row(Statement& found, Row& row, int first, bool with_envelope)
{
    row.flags = found.integer(first);
    row.recipients = found.integer(first + 1);
    row.arrival = wall(found.integer(first + 2));
    row.size = static_cast<std::uint64_t>(found.integer(first + 3));
    row.hash = found.integer(first + 4);
    row.has_state = !found.null(first + 5);
    if (const std::string_view state = found.blob(first + 5); !row.has_state)
        row.state.Clear();
    else if (!row.state.ParseFromArray(state.data(), static_cast<int>(state.size())))
        throw Failed(Failed::Kind::damaged, "a message's state cannot be read");
    if (with_envelope)
        row.envelope.assign(found.blob(first + 6));
}

bool Ledger::fetch(std::uint64_t key, Row& row, bool with_envelope)
{
    Statement& found = with_envelope ? prepared("SELECT flags, recipients, arrival, size, hash, state, envelope FROM message WHERE key = ?")
                                     : prepared("SELECT flags, recipients, arrival, size, hash, state FROM message WHERE key = ?");
    const ResetAtEnd reset{found};
    if (!found.bind(1, static_cast<std::int64_t>(key)).step())
        return false;
    take_row(found, row, 0, with_envelope);
    return true;
}

void Ledger::fill_state(Row& row) const
{
    if (row.has_state || (row.flags & flag_rows))
        return;
    for (std::int64_t index = 0; index < row.recipients; ++index)
        row.state.add_recipients()->set_index(static_cast<std::uint32_t>(index));
}

void Ledger::drop(std::uint64_t key, const Row& row, bool with_content)
{
    prepared("DELETE FROM message WHERE key = ?").bind(1, static_cast<std::int64_t>(key)).run();
    if (row.flags & flag_rows)
        prepared("DELETE FROM recipient WHERE key = ?").bind(1, static_cast<std::int64_t>(key)).run();
    if (row.flags & flag_file) {
        handoff::Envelope envelope;
        if (row.parse(envelope))
            unlink(incoming_name(envelope.queue_id()));
    } else if (with_content) {
        prepared("DELETE FROM content WHERE key = ?").bind(1, static_cast<std::int64_t>(key)).run();
    }
    gone_next_.push_back(key);
    note(key);
}

Block Ledger::reserve(Counter counter, std::uint64_t count)
{
    Statement& update = prepared("UPDATE counter SET value = value + ? WHERE id = ? RETURNING value");
    update.bind(1, static_cast<std::int64_t>(count)).bind(2, static_cast<int>(counter));
    if (!update.step())
        throw Failed(Failed::Kind::damaged, "a counter is missing");
    const auto next = static_cast<std::uint64_t>(update.integer(0));
    update.run();                              // to the end: only then the statement has taken effect
    return {next - count, count};
}

void Ledger::checkpoint(bool truncate)
{
    int log_pages = 0, moved = 0;
    const int code =
        sqlite3_wal_checkpoint_v2(connection_.get(), nullptr, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &log_pages, &moved);
    if (code != SQLITE_OK)
        connection_.fail(code, "checkpoint");
    log_octets_ = 0;                           // the next commit starts the log over
}

bool Ledger::shrink()
{
    constexpr int at_once = 256;
    const auto slack = static_cast<std::int64_t>(setup_.slack_octets / 4096);
    Statement& free = prepared("PRAGMA freelist_count");
    const std::int64_t pages = free.step() ? free.integer(0) : 0;
    free.reset();
    if (pages <= slack)
        return false;
    connection_.run(fmt::format("PRAGMA incremental_vacuum({})", std::min<std::int64_t>(at_once, pages - slack)));
    return pages - slack > at_once;
}

void Ledger::restore_message(std::uint64_t key, std::int64_t flags, std::int64_t recipients, const handoff::Envelope& envelope, std::uint64_t hash,
                             std::optional<std::string_view> state)
{
    envelope.SerializeToString(&scratch_);
    Statement& insert =
        prepared("INSERT OR IGNORE INTO message(key, flags, arrival, size, hash, recipients, state, envelope) VALUES(?, ?, ?, ?, ?, ?, ?, ?)");
    insert.bind(1, static_cast<std::int64_t>(key))
        .bind(2, flags)
        .bind(3, envelope.arrival())
        .bind(4, static_cast<std::int64_t>(envelope.size()))
        .bind(5, static_cast<std::int64_t>(hash))
        .bind(6, recipients)
        .bind(8, scratch_);
    if (state)
        insert.bind(7, *state);
    else
        insert.bind_null(7);
    insert.run();
}

void Ledger::restore_content(std::uint64_t key, std::string_view octets)
{
    prepared("INSERT OR IGNORE INTO content(key, octets) VALUES(?, ?)").bind(1, static_cast<std::int64_t>(key)).bind(2, octets).run();
}

void Ledger::restore_recipient(std::uint64_t key, std::uint32_t position, std::string_view state)
{
    prepared("INSERT OR IGNORE INTO recipient(key, position, state) VALUES(?, ?, ?)")
        .bind(1, static_cast<std::int64_t>(key))
        .bind(2, position)
        .bind(3, state)
        .run();
}

void Ledger::restore_gone(std::uint64_t key) { gone_next_.push_back(key); }

void Ledger::restore_taken(std::int64_t at, std::string_view source, std::string_view queue_id, std::string_view here)
{
    connection_.run(taken_table);
    prepared("INSERT OR IGNORE INTO taken(at, source, queue_id, here) VALUES(?, ?, ?, ?)")
        .bind(1, at)
        .bind(2, source)
        .bind(3, queue_id)
        .bind(4, here)
        .run();
}

void Ledger::restore_counter(int row, std::uint64_t value)
{
    prepared("UPDATE counter SET value = max(value, ?) WHERE id = ?").bind(1, static_cast<std::int64_t>(value)).bind(2, row).run();
}

}  // namespace posthorn::spool
