// spool/ledger.hpp: the queue's database, synchronously: what the writer thread does between two waits.
// Shape    begin, any number of changes, commit (one sync for all) or rollback. Reads stand outside of a transaction.
// Errors   an Error concerns one request and nothing of it was changed; the exception Failed concerns the whole transaction.
// Owns     the one connection. For one thread.
#pragma once

#include "handoff/queue_id.hpp"
#include "spool/sqlite.hpp"
#include "spool/sqlite_vfs.hpp"
#include "spool/store.hpp"
#include "spool/stored.pb.h"

#include <boost/unordered/unordered_flat_set.hpp>

#include <deque>
#include <map>

namespace posthorn::spool {

inline constexpr std::string_view database_name = "spool.db";

/// As times are stored.
inline std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
inline WallTime wall(std::int64_t stored) { return WallTime{std::chrono::microseconds{stored}}; }

class Ledger {
public:
    struct Setup {
        std::string name{database_name};
        std::uint32_t node = 0;
        std::uint64_t cache_octets = 16 << 20;
        std::uint64_t slack_octets = 64 << 20;         // free pages kept in the file
        std::chrono::microseconds remember_removed = std::chrono::seconds{120};
        bool durable = true;                           // false: a scratch database in the making, synced by who makes it
    };
    /// Opens or creates, brings the schema up, starts a new epoch. Throws Failed; an Error for a database that is not for us.
    static Result<std::unique_ptr<Ledger>> open(SqliteVfs& vfs, Setup setup, WallTime now);
    ~Ledger();

    std::uint64_t epoch() const { return epoch_; }
    Connection& connection() { return connection_; }
    FileOps& files() { return vfs_.files(); }

    void begin();
    /// Synced when it returns. Then content files of removed messages go.
    void commit(WallTime now);
    /// Written to the log and not synced: whoever calls sees to that, before anybody hears of it. Then remove_files() of what is returned.
    std::vector<std::string> commit_unsynced(WallTime now);
    void remove_files(std::vector<std::string> names);
    /// How long the last commit() waited for the disk.
    std::chrono::steady_clock::duration sync_took() const { return vfs_.log_sync_took; }
    void rollback();

    Result<Lease> enqueue(const NewMessage& message);
    Result<Settled> settle(const Settlement& settlement);
    Result<std::size_t> alter(const std::vector<Lease>& leases, const Change& change);
    Result<std::size_t> remove(const std::vector<Lease>& leases);
    Result<Lease> replace(Lease old, const NewMessage& message);
    Block reserve(Counter counter, std::uint64_t count);

    std::vector<std::pair<std::string, std::string>> taken_over(const std::string& source, const std::vector<std::string>& queue_ids);
    void forget_taken_over(const std::string& source, const std::vector<std::string>& queue_ids);

    bool was_committed(const std::string& queue_id);
    std::optional<Lease> find(const std::string& queue_id);
    Result<StoredMessage> read(Lease lease);
    Result<std::unique_ptr<ContentReader>> content(Lease lease);
    Page<Scheduled> load(std::uint64_t after, std::size_t limit);
    Page<StoredMessage> list(std::uint64_t after, std::size_t limit);
    Result<Scheduled> scheduled(Lease lease);
    std::size_t sweep(std::chrono::seconds orphan_age);
    /// Content of the messages from `after`, `limit` of them: one sentence per finding.
    Page<std::string> check_content(std::uint64_t after, std::size_t limit);
    std::vector<std::string> check_structure();

    std::uint64_t log_octets() const { return log_octets_; }
    /// Moves the log into the database. Failed::full may be tried again, anything else ends the store.
    void checkpoint(bool truncate = false);
    /// Gives some free pages back to the file system, where there are many. True: there are more.
    bool shrink();

    /// For a backup: names of content files that would have been removed wait until released.
    void hold_files() { ++files_held_; }
    void release_files();
    /// Notes the keys of every change, for a snapshot in the making; null ends it.
    void note_changes(std::vector<std::uint64_t>* changed) { changed_ = changed; }
    void note_log(int pages);

    /// What salvage found, as it was stored.
    void restore_message(std::uint64_t key, std::int64_t flags, std::int64_t recipients, const handoff::Envelope& envelope, std::uint64_t hash,
                         std::optional<std::string_view> state);
    void restore_content(std::uint64_t key, std::string_view octets);
    void restore_recipient(std::uint64_t key, std::uint32_t position, std::string_view state);
    void restore_gone(std::uint64_t key);
    void restore_taken(std::int64_t at, std::string_view source, std::string_view queue_id, std::string_view here);
    void restore_counter(int row, std::uint64_t value);

private:
    struct Row {
        std::int64_t flags = 0, hash = 0, recipients = 0;
        std::uint64_t size = 0;
        bool has_state = false;
        StoredRecipients state;
        std::string envelope;
        WallTime arrival{};
        bool parse(handoff::Envelope& into) const { return into.ParseFromString(envelope); }
    };

    Ledger(SqliteVfs& vfs, Setup setup);
    void load_gone(WallTime now);
    std::vector<std::string> end_transaction(WallTime now);
    Statement& prepared(const char* sql);
    std::optional<Error> stale(Lease lease) const;
    std::optional<Error> check(const NewMessage& message, bool content_follows);
    /// Of a message that was checked: its queue id holds a number.
    std::uint64_t key_of(const NewMessage& message) const
    {
        return make_key(setup_.node, handoff::queue_id_sequence(message.envelope.queue_id()).value_or(0));
    }
    Result<Lease> insert(const NewMessage& message, std::uint64_t hash, bool in_file, bool store_content);
    bool fetch(std::uint64_t key, Row& row, bool with_envelope);
    void fill_state(Row& row) const;
    bool settle_rows(const Settlement& settlement, bool& changed);
    void drop(std::uint64_t key, const Row& row, bool with_content);
    std::optional<std::string> taken_as(std::string_view source, std::string_view queue_id);
    void set_taken_over(std::uint64_t key, const handoff::Envelope& envelope, const TakenOver& taken);
    void note(std::uint64_t key);
    void unlink(std::string name);
    bool names_file(const std::string& queue_id);
    StoredMessage stored(std::uint64_t key, const Row& row);
    Scheduled schedule(std::uint64_t key, const Row& row);
    template <class T>
    Page<T> page(std::uint64_t after, std::size_t limit, T (Ledger::*make)(std::uint64_t, const Row&));
    static void take_row(Statement& found, Row& row, int first, bool with_envelope);

    SqliteVfs& vfs_;
    Setup setup_;
    Connection connection_;
    std::map<const char*, Statement> statements_;
    std::uint64_t epoch_ = 0, log_octets_ = 0;
    std::vector<std::string> unlink_next_, unlink_held_;    // after the commit; after the backup
    int files_held_ = 0;
    std::vector<std::uint64_t>* changed_ = nullptr;

    struct Gone {
        WallTime until;
        std::vector<std::uint64_t> keys;
    };
    boost::unordered_flat_set<std::uint64_t> gone_;
    std::deque<Gone> gone_order_;
    std::vector<std::uint64_t> gone_next_;                  // of the transaction that runs
    WallTime purged_{};
    std::string scratch_;                                   // serialised values, kept for its capacity
};

/// A message is checked before any of it is written; the same rules hold in every Store.
std::optional<Error> malformed(const NewMessage& message, bool content_follows);
/// Clips what a peer may have made long.
handoff::Verdict stored_verdict(const handoff::Verdict& verdict);

}  // namespace posthorn::spool
