// How the queue manager begins: new mail is taken at once, what is stored is read meanwhile. A million messages take seconds to read, and nobody
// who has new mail waits for them.
//
// What makes that safe: the store answers in the order in which it did things. A page that holds a message is heard of behind the answer to its
// enqueueing, and before that to its removal, so that what is known already is newer than the page, and what is not known has not left.
#include "schedule/release.hpp"
#include "services/queue_manager.hpp"

#include <algorithm>

namespace posthorn::services {

namespace {

/// Commits wait while a page is read: a few milliseconds.
constexpr std::size_t page_messages = 1000;

}  // namespace

awaitable<Result<void>> QueueManager::open(std::vector<std::uint32_t> living, std::function<void(Error)> failed)
{
    awaited_.insert(living.begin(), living.end());
    CO_TRY(auto attempts, co_await store_.reserve(spool::Counter::attempt, std::uint64_t{1} << 32));
    scheduler_.number_attempts_from(attempts.first);
    CO_TRY_VOID(co_await fetch_ids());
    follow_the_clock();
    tasks_.spawn(read_stored(std::move(failed)));
    co_return Result<void>{};
}

awaitable<void> QueueManager::read_stored(std::function<void(Error)> failed)
{
    for (std::uint64_t after = 0; !whole_;) {
        auto page = co_await store_.load(after, page_messages);
        if (co_await cancelled())
            co_return;
        if (!page) {
            if (failed)
                failed(std::move(page).error());
            co_return;
        }
        for (const spool::Scheduled& message : page->entries) {
            const Key key = message.lease.key;
            if (!epochs_.emplace(key, message.lease.epoch).second)
                continue;                                       // it came since the start, and is under way
            count_stored(message);
            find_place(message);
        }
        after = page->next;
        whole_ = page->done;
    }
    say_what_is_leaving();
    read_.notify_all();
    co_await run();
}

/// Of a message as it is stored: what it waits for.
void QueueManager::find_place(const spool::Scheduled& message)
{
    const Key key = message.lease.key;
    if (message.expire)
        expiring_.insert(key);
    if (message.requeue)
        to_requeue_.insert(key);
    if (message.leaving)
        leaving_.insert(key);
    if (message.hold) {
        held_.insert(key);
        return;
    }
    // Times are of the wall clock, which may have been set back since, or be another machine's: nothing waits longer than the next backoff may be.
    const WallTime latest = clock_.wall() + std::max(options_.retry.maximal_backoff, options_.retry.minimal_backoff);
    WallTime first = message.expire || message.requeue ? WallTime{} : latest;
    for (const auto& recipient : message.recipients)
        first = std::min(first, recipient.next_try);
    if (message.release && !message.expire && !message.requeue)
        first = schedule::next_look(*message.release, std::max(first, clock_.wall()));
    deferred_.put(key, first);
    remember_orders(message);
}

awaitable<bool> QueueManager::whole()
{
    while (!whole_ && !co_await cancelled())
        co_await read_.wait();
    co_return whole_;
}

/// While the queue is not whole: a message of before that is sent again by who did not hear that it is stored. Its page tells what has become of
/// it since; the request does not.
awaitable<Result<bool>> QueueManager::stored_before(const handoff::Envelope& envelope)
{
    CO_TRY(const auto found, co_await store_.find(envelope.queue_id()));
    co_return found && !epochs_.contains(found->key);
}

}  // namespace posthorn::services
