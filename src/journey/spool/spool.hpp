// spool/spool.hpp: the Store on SQLite, in qmgr's queue_directory.
// Threads  one writer thread owns the one connection; public calls are made on the event loop and complete there.
// Commits  all requests that arrive while a commit runs share the next one, without waiting for more. On a slow disk a commit is written
//          while the syncs of those before it run (log_sync.hpp). Nothing is answered before the sync that covers it, a read neither.
//          Verdicts wait for a commit to share for at most Options::verdict_delay. Checkpoints run between commits, after their callers
//          were answered.
// Failure  a failed sync, an I/O error or a damaged page ends the store: Events::failed is called on the writer thread, once, before
//          any caller hears of it. The process ends and opens again, which recovers; nothing is retried in place. Only a full disk is
//          waited out: enqueue fails with 4.3.1, verdicts wait until there is room.
// Owns     the writer thread; `files` must outlive it.
#pragma once

#include "observe/log.hpp"
#include "spool/file_ops.hpp"
#include "spool/store.hpp"

#include <chrono>

namespace posthorn::config {
class Snapshot;
}

namespace posthorn::spool {

struct Options {
    static Options from(const config::Snapshot& snapshot);

    std::uint32_t node = 0;                              // below 32768
    std::chrono::milliseconds verdict_delay{20};
    std::chrono::milliseconds room_retry{200};           // after a full disk, verdicts try again
    std::uint64_t checkpoint_octets = 4 << 20;           // of write-ahead log: checkpoint when idle; at 4 times that in any case
    std::uint64_t cache_octets = 16 << 20;
    std::chrono::microseconds slow_sync{1000};           // commits overlap where syncs take that long; 0: always
    std::chrono::seconds orphan_age{300};                // files in incoming/ that nobody names and nobody holds
    std::chrono::seconds remember_removed{120};          // was_committed() is true that long after a message left
    std::uint64_t slack_octets = 64 << 20;               // free pages kept in the database file
};

struct Events {
    /// On the writer thread. The process should log and end.
    std::function<void(Error)> failed;
};

/// What opening found, for the log.
struct Opened {
    std::uint64_t orphans = 0;             // files removed
    bool salvaged = false;
    std::uint64_t lost_pages = 0;          // unreadable pages of the damaged file
    std::vector<std::string> lost;         // one sentence each: "4gDq...: content is damaged; put on hold"
    std::string set_aside;                 // name of the damaged database
};

/// A table of text, of `posthorn queue --sql`.
struct Rows {
    std::vector<std::string> columns;
    std::vector<std::vector<std::string>> rows;
    bool truncated = false;                // at the limit of rows or octets
};

class Spool final : public Store {
public:
    /// Opens or creates the database; recovers, upgrades, salvages and sweeps as needed; blocks meanwhile. Errors: another process has
    /// it open; made by a newer version; folder not writable.
    static Result<std::unique_ptr<Spool>> open(FileOps& files, Options options, Executor loop, const Clock& clock, observe::Log log, Events events);
    ~Spool() override;                     // writes what was asked, as close() does, but waits on this thread

    const Opened& opened() const;

    awaitable<Result<Lease>> enqueue(NewMessageRef message) override;
    awaitable<Result<bool>> was_committed(std::string queue_id) override;
    awaitable<Result<std::vector<std::pair<std::string, std::string>>>> taken_over(std::string source, std::vector<std::string> queue_ids) override;
    awaitable<Result<void>> forget_taken_over(std::string source, std::vector<std::string> queue_ids) override;
    awaitable<Result<void>> drop_file(std::string queue_id) override;
    awaitable<Result<std::optional<Lease>>> find(std::string queue_id) override;
    awaitable<Result<Settled>> settle(Settlement settlement) override;
    awaitable<Result<std::size_t>> alter(std::vector<Lease> leases, Change change) override;
    awaitable<Result<std::size_t>> remove(std::vector<Lease> leases) override;
    awaitable<Result<Lease>> replace(Lease old, NewMessageRef message) override;
    awaitable<Result<StoredMessage>> read(Lease lease) override;
    awaitable<Result<std::unique_ptr<ContentReader>>> content(Lease lease) override;
    awaitable<Result<Page<Scheduled>>> load(std::uint64_t after, std::size_t limit) override;
    awaitable<Result<Page<StoredMessage>>> list(std::uint64_t after, std::size_t limit) override;
    awaitable<Result<Scheduled>> scheduled(Lease lease) override;
    awaitable<Result<Block>> reserve(Counter counter, std::uint64_t count) override;
    void on_adopted(std::function<void(std::vector<Lease>)> adopted) override;
    awaitable<void> close() override;

    /// Removes files in incoming/ that no message names, that are older than orphan_age and that no living writer holds.
    /// Done at start; call it now and then. The number removed.
    awaitable<Result<std::size_t>> sweep();
    /// Empty: sound. Else one sentence per finding.
    awaitable<Result<std::vector<std::string>>> check();
    /// A copy that can be opened as a queue, made between commits, into `folder` below the queue directory (created; must be new).
    /// `beside`: files of the queue directory that belong to the queue, and that whoever keeps them replaces as a whole; what is not
    /// there is not missed.
    awaitable<Result<void>> backup(std::string folder, std::vector<std::string> beside = {});
    /// A read-only SQL statement on a snapshot: tables message and recipient (see README). Runs beside the queue, not in its way.
    awaitable<Result<Rows>> query(std::string sql, std::size_t row_limit, std::chrono::milliseconds time_limit);

    class Core;

private:
    explicit Spool(std::unique_ptr<Core> core);
    std::unique_ptr<Core> core_;
};

}  // namespace posthorn::spool
