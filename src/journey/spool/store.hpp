// spool/store.hpp: the queue on stable storage, as qmgr sees it. Design rules 1 to 3: nothing acknowledged is lost, duplicates are
// bounded, one verdict per recipient with its report in the same transaction.
// Shape    a message is (node, sequence): the key has the node in the upper 16 bits and the sequence number of its queue id below.
// Leases   whoever works on a message holds a Lease; each result carries it. After another node (or a restarted one) took the message
//          over, its epoch is higher and calls with the old one are refused with "stale lease".
// Waiting  every awaitable completes when what it says is on stable storage. Calls may be made from the event loop's thread only.
// Errors   status 4.3.1: no room, nothing stored, try later. 4.3.0, 5.x.y: refused, nothing stored. An Error with an EMPTY status means
//          that the store has failed and the fate is unknown: answer nobody, end the process, ask was_committed() after reopening.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "handoff/words.pb.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace posthorn::spool {

inline constexpr unsigned sequence_bits = 48;

constexpr std::uint64_t make_key(std::uint32_t node, std::uint64_t sequence) { return std::uint64_t{node} << sequence_bits | sequence; }

struct Lease {
    std::uint64_t key = 0;
    std::uint64_t epoch = 0;

    std::uint32_t node() const { return static_cast<std::uint32_t>(key >> sequence_bits); }
    std::uint64_t sequence() const { return key & ((std::uint64_t{1} << sequence_bits) - 1); }
    bool operator==(const Lease&) const = default;
};

/// A recipient that is not settled yet.
struct RecipientState {
    handoff::Recipient recipient;
    std::uint32_t tries = 0;
    WallTime next_try{};                  // epoch: at once
    std::uint64_t attempt = 0;            // the last one that gave a verdict
    std::optional<handoff::Verdict> last; // why it is deferred
};

/// Of a message that comes from another queue: it is taken once, and as it stood there.
struct TakenOver {
    std::string source;                   // the identity of that queue
    std::string queue_id;                 // there
    std::vector<RecipientState> states;   // of the envelope's recipients, same order; `recipient` and `attempt` do not count
    bool expire = false, warned = false, requeue = false;
};

/// Shared and never changed, so that the caller can go on to deliver from it what the store is still writing.
struct NewMessage {
    handoff::Envelope envelope;
    handoff::Content content;
    std::optional<TakenOver> taken_over = {};
};
using NewMessageRef = std::shared_ptr<const NewMessage>;

/// Everything but the content. envelope.recipients is empty: they are in `recipients`.
struct StoredMessage {
    Lease lease;
    handoff::Envelope envelope;
    std::vector<RecipientState> recipients;
    bool hold = false, expire = false, warned = false, requeue = false;
    bool leaving = false;                 // bound for another queue; then on hold as well, and
    bool held_before = false;             // so it was without that
};

/// What the scheduler keeps in memory, and no more: a million of these are read at start.
struct ScheduledRecipient {
    std::uint32_t index = 0;
    std::uint32_t tries = 0;
    WallTime next_try{};
    std::string address;
    std::string status;                   // of the last verdict; empty: there was none
};
struct Scheduled {
    Lease lease;
    std::string queue_id;
    std::string sender;
    WallTime arrival{};
    std::uint64_t size = 0;
    bool hold = false, expire = false, warned = false, requeue = false;
    bool leaving = false;
    std::optional<handoff::Release> release;  // when it may go, where its sender said so
    std::vector<ScheduledRecipient> recipients;
};

/// A part of the queue in the order of keys. `after` of the next call is `next`; `done`: there is no more.
template <class T>
struct Page {
    std::vector<T> entries;
    std::uint64_t next = 0;
    bool done = true;
};

/// The result of one attempt at some recipients of one message. Repeating it changes nothing: a verdict counts once per (message,
/// recipient, attempt); attempts are drawn from reserve(Counter::attempt), so a lower number than the last is an old one.
struct Settlement {
    Lease lease;
    std::uint64_t attempt = 0;
    std::vector<handoff::Verdict> verdicts;
    WallTime next_try{};                  // of those with OUTCOME_DEFERRED; every other outcome removes its recipient
    std::vector<NewMessageRef> reports;   // enqueued in the same transaction, if any of the verdicts is new
    bool warned = false;                  // a delay warning is among the reports
    bool disowned = false;                // who handed it in keeps it: once it is gone, it was never ours (was_committed, enqueue)
};
struct Settled {
    Lease lease;
    bool removed = false;                 // no recipient is left: the message is gone
    std::vector<Lease> reports;           // same order; empty when nothing was new
};

/// What an operator changes; absent: stays.
struct Change {
    std::optional<bool> hold;
    std::optional<bool> expire;           // forced: returned to the sender at the next look
    std::optional<WallTime> next_try;     // of all recipients
    std::optional<bool> requeue = {};     // cleaned anew as soon as no delivery has it in hand
    std::optional<bool> leaving = {};     // bound for another queue: on hold until it is there; false: as it was before
};

enum class Counter { queue_id = 1, attempt = 2 };
struct Block {
    std::uint64_t first = 0, count = 0;
};

/// Content, whole and unchanging while the reader lives, even if the message is removed meanwhile.
class ContentReader {
public:
    virtual ~ContentReader() = default;
    virtual std::uint64_t size() const = 0;
    /// Fills `into` from `offset`; fewer octets only at the end.
    virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) const = 0;
    /// An open descriptor that can be passed to another process, or -1: then it is small, read it.
    virtual int descriptor() const { return -1; }
    Result<std::string> octets() const;
};

class Store {
public:
    virtual ~Store() = default;

    /// Takes responsibility. Enqueueing a queue id again is a success that changes nothing, even when it has been delivered since
    /// (then the lease's key is 0); so is taking over what was taken over before, under whatever id. Content in a file: named by the queue id in
    /// the incoming folder, synced (spool/incoming.hpp).
    virtual awaitable<Result<Lease>> enqueue(NewMessageRef message) = 0;
    /// Also true for what was committed and has left the queue lately, unless it was disowned.
    virtual awaitable<Result<bool>> was_committed(std::string queue_id) = 0;
    /// Of messages of another queue, those that were taken over, and not forgotten since: their ids there and here.
    virtual awaitable<Result<std::vector<std::pair<std::string, std::string>>>> taken_over(std::string source,
                                                                                           std::vector<std::string> queue_ids) = 0;
    /// They have left that queue for good: nobody asks for them again.
    virtual awaitable<Result<void>> forget_taken_over(std::string source, std::vector<std::string> queue_ids) = 0;
    /// Removes the file of a message that was refused; not where a message of this queue id was committed after all.
    virtual awaitable<Result<void>> drop_file(std::string queue_id) = 0;
    /// None: not in the queue.
    virtual awaitable<Result<std::optional<Lease>>> find(std::string queue_id) = 0;
    virtual awaitable<Result<Settled>> settle(Settlement settlement) = 0;
    /// All of them in one transaction; those that are gone are skipped. The number changed.
    virtual awaitable<Result<std::size_t>> alter(std::vector<Lease> leases, Change change) = 0;
    /// Removes without verdict or report, as postsuper -d.
    virtual awaitable<Result<std::size_t>> remove(std::vector<Lease> leases) = 0;
    /// Requeue: the new message takes the place of the old one in one transaction. With an empty Content it takes over the old one's.
    virtual awaitable<Result<Lease>> replace(Lease old, NewMessageRef message) = 0;
    virtual awaitable<Result<StoredMessage>> read(Lease lease) = 0;
    virtual awaitable<Result<std::unique_ptr<ContentReader>>> content(Lease lease) = 0;
    /// The queue in the order of keys: scheduling data for start and adoption, everything for listings.
    virtual awaitable<Result<Page<Scheduled>>> load(std::uint64_t after, std::size_t limit) = 0;
    virtual awaitable<Result<Page<StoredMessage>>> list(std::uint64_t after, std::size_t limit) = 0;
    virtual awaitable<Result<Scheduled>> scheduled(Lease lease) = 0;
    /// Numbers that nobody else gets, ever. Lost with their process, never used again.
    virtual awaitable<Result<Block>> reserve(Counter counter, std::uint64_t count) = 0;
    /// Called on the loop when messages of another node were taken over by this one.
    virtual void on_adopted(std::function<void(std::vector<Lease>)> adopted) = 0;
    /// Completes what was asked, writes it, closes. No call may follow.
    virtual awaitable<void> close() = 0;
};

}  // namespace posthorn::spool
