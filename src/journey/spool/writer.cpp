#include "spool/writer.hpp"

#include "spool/incoming.hpp"

#include <fmt/format.h>

#include <sys/prctl.h>

namespace posthorn::spool {

namespace {

constexpr std::string_view damage_marker_reason = "a page of the queue database is damaged; it is salvaged at the next start";

}  // namespace

void Spool::Core::write()
{
    ::prctl(PR_SET_NAME, "spool", 0, 0, 0);            // its cost is counted apart
    bool stopping = false;
    while (true) {
        Requests batch;
        {
            std::unique_lock lock(mutex_);
            while (urgent_.empty() && jobs_.empty() && (!sync_error_ || failed_) && !stopping_) {
                if (!settles_.empty()) {
                    if (std::chrono::steady_clock::now() >= settles_due_ || wake_.wait_until(lock, settles_due_) == std::cv_status::timeout)
                        break;
                } else if (unsynced_.empty() && has_idle_work()) {
                    break;
                } else {
                    wake_.wait(lock);
                }
            }
            wait_for_turn(lock);
            batch = std::exchange(urgent_, {});
            if (std::chrono::steady_clock::now() >= retry_at_ || stopping_) {
                std::ranges::move(settles_, std::back_inserter(batch));
                settles_.clear();
            }
            stopping = stopping_;
        }
        turn(std::move(batch), stopping);
        if (stopping) {
            const std::lock_guard lock(mutex_);
            if (urgent_.empty() && settles_.empty() && jobs_.empty())
                break;
        }
    }
    if (!failed_) {
        try {
            opening_.ledger->checkpoint(true);
        } catch (const Failed& failure) {
            if (failure.kind != Failed::Kind::full)
                fail(failure);
        }
    }
    log_sync_.finish();                                // after a failure some may be under way
    opening_.ledger.reset();
    opening_.lock.reset();
}

void Spool::Core::turn(Requests batch, bool stopping)
{
    Requests reads;
    for (auto& request : batch) {
        if (request->kind == Request::Kind::read || request->kind == Request::Kind::sweep)
            reads.push_back(std::move(request));
        else if (request->kind == Request::Kind::job)
            jobs_.push_back(std::move(request));
    }
    std::erase(batch, nullptr);
    try {
        heed_syncs();
        if (!failed_ && !batch.empty())
            transaction(batch);
        if (!failed_) {
            for (auto& request : reads) {
                if (request->kind == Request::Kind::sweep)
                    drain();
                request->apply(*opening_.ledger);
            }
            std::ranges::move(reads, std::back_inserter(done_));
            reads.clear();
        }
        answer_when_synced(std::exchange(done_, {}));
        if (!failed_ && !jobs_.empty()) {
            drain();                                   // its steps show and copy what is on the disk
            if (jobs_.front()->step(*opening_.ledger)) {
                done_.push_back(std::move(jobs_.front()));
                jobs_.erase(jobs_.begin());
                answer(std::exchange(done_, {}));
            }
        }
        if (!failed_) {
            bool idle = false;
            {
                const std::lock_guard lock(mutex_);
                idle = urgent_.empty() && unsynced_.empty();
            }
            housekeeping(idle);
        }
        if (!failed_ && stopping)
            drain();
    } catch (const Failed& failure) {
        fail(failure);
    }
    if (!failed_)
        return;
    {
        const std::lock_guard lock(mutex_);
        for (Unsynced& each : std::exchange(unsynced_, {}))
            std::ranges::move(each.requests, std::back_inserter(done_));
    }
    const Error unknown{"the queue has failed"};       // no status: nobody knows what is on the disk
    for (Requests* left : {&batch, &reads, &jobs_, &done_}) {
        for (auto& request : *left)
            if (request)
                request->refuse(unknown);
        answer(std::exchange(*left, {}));
    }
}

void Spool::Core::transaction(Requests& batch)
{
    Ledger& ledger = *opening_.ledger;
    const bool overlaps = log_sync_.pays();
    if (!overlaps)
        drain();
    try {
        ledger.begin();
        for (auto& request : batch)
            request->apply(ledger);
        if (overlaps) {
            auto files = ledger.commit_unsynced(clock_.wall());
            {
                const std::lock_guard lock(mutex_);
                unsynced_.push_back({++ticket_, std::exchange(batch, {}), std::move(files)});
            }
            log_sync_.start(ticket_);
        } else {
            ledger.commit(clock_.wall());
            log_sync_.took(ledger.sync_took());
        }
        if (room_lacked_)
            log_.info("queue file system has room again");
        room_lacked_ = false;
        std::ranges::move(batch, std::back_inserter(done_));
        batch.clear();
    } catch (const Failed& failure) {
        if (failure.kind != Failed::Kind::full)
            throw;
        ledger.rollback();
        out_of_room(batch, failure.what());
    }
}

/// Nothing of the transaction was stored. Verdicts are tried without company, and go on waiting when that fails too: removing makes
/// room, and whoever sent them keeps them until they are confirmed.
void Spool::Core::out_of_room(Requests& batch, const std::string& text)
{
    if (!room_lacked_)
        log_.warning("queue file system is full: {}", text);
    if (!std::exchange(room_lacked_, true))
        remove_spares(files_);
    Requests waiting;
    for (auto& request : batch) {
        if (request->kind == Request::Kind::settle) {
            waiting.push_back(std::move(request));
        } else {
            request->refuse(Error{"insufficient system storage", "4.3.1"});
            done_.push_back(std::move(request));
        }
    }
    const bool alone = waiting.size() == batch.size();
    batch.clear();
    if (waiting.empty())
        return;
    if (!alone)
        return transaction(batch = std::move(waiting));
    const std::lock_guard lock(mutex_);
    if (stopping_) {
        for (auto& request : waiting) {
            request->refuse(Error{"insufficient system storage", "4.3.1"});
            done_.push_back(std::move(request));
        }
        return;
    }
    retry_at_ = std::chrono::steady_clock::now() + options.room_retry;
    settles_due_ = retry_at_;
    std::ranges::move(settles_, std::back_inserter(waiting));
    settles_ = std::move(waiting);
}

bool Spool::Core::checkpoint_due(unsigned shares) const
{
    return opening_.ledger->log_octets() >= options.checkpoint_octets * shares && std::chrono::steady_clock::now() >= checkpoint_at_;
}

void Spool::Core::housekeeping(bool idle)
{
    Ledger& ledger = *opening_.ledger;
    if (checkpoint_due(idle ? 1 : 4)) {
        try {
            drain();                                   // a log that could not be synced must not reach the database
            ledger.checkpoint();
            shrinking_ = true;
        } catch (const Failed& failure) {
            if (failure.kind != Failed::Kind::full)
                throw;
            // The log is whole and stays; only the copy into the database has no room to grow.
            if (!room_lacked_)
                log_.warning("queue file system is full: {}", failure.what());
            room_lacked_ = true;
            checkpoint_at_ = std::chrono::steady_clock::now() + std::chrono::seconds{1};
        }
    } else if (idle && shrinking_) {
        try {
            shrinking_ = ledger.shrink();
        } catch (const Failed& failure) {
            if (failure.kind != Failed::Kind::full)
                throw;
            shrinking_ = false;
        }
    }
}

void Spool::Core::fail(const Failed& failure)
{
    failed_ = true;
    if (failure.kind == Failed::Kind::damaged)
        mark_damaged(files_);
    const std::string text =
        failure.kind == Failed::Kind::damaged ? fmt::format("{} ({})", damage_marker_reason, failure.what()) : std::string(failure.what());
    if (events_.failed)
        events_.failed(Error{text});
}

/// What was read or refused after a commit was written is said when that is on the disk: a message that is found, or found to have left.
void Spool::Core::answer_when_synced(Requests done)
{
    {
        const std::lock_guard lock(mutex_);
        if (!unsynced_.empty()) {
            std::ranges::move(done, std::back_inserter(unsynced_.back().requests));
            return;
        }
    }
    answer(std::move(done));
}

/// On a thread that waited for the disk. Content files go before the answers, as in Ledger::commit(): what is noted meanwhile for a backup
/// is not the writer's while anything is unsynced, because it drains before it looks there.
void Spool::Core::synced(std::uint64_t ticket, int error)
{
    Requests done;
    std::vector<std::string> files;
    {
        const std::lock_guard lock(mutex_);
        sync_error_ = error;
        for (Unsynced& each : unsynced_)
            if (!error && each.ticket <= ticket)
                std::ranges::move(each.files, std::back_inserter(files));
    }
    if (!files.empty())
        opening_.ledger->remove_files(std::move(files));
    {
        const std::lock_guard lock(mutex_);
        while (!error && !unsynced_.empty() && unsynced_.front().ticket <= ticket) {
            std::ranges::move(unsynced_.front().requests, std::back_inserter(done));
            unsynced_.pop_front();
        }
        answer(std::move(done));                       // before another thread says what was written later
    }
    wake_.notify_one();
}

void Spool::Core::wait_for_turn(std::unique_lock<std::mutex>& lock)
{
    while (!stopping_ && !sync_error_ && !unsynced_.empty()) {
        const auto next = log_sync_.next();
        if (!next)
            wake_.wait(lock);
        else if (std::chrono::steady_clock::now() >= *next || wake_.wait_until(lock, *next) == std::cv_status::timeout)
            return;
    }
}

/// Returns when all that was written is synced.
void Spool::Core::drain()
{
    {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return unsynced_.empty() || sync_error_; });
    }
    heed_syncs();
}

/// Throws where a sync failed.
void Spool::Core::heed_syncs()
{
    int error = 0;
    {
        const std::lock_guard lock(mutex_);
        error = sync_error_;
    }
    if (error && !failed_) {
        opening_.vfs->fail("sync", database_name, error);
        throw Failed(Failed::Kind::fatal, fmt::format("sync of the log: {}", errno_text(error)));
    }
}

void Spool::Core::answer(Requests done)
{
    if (!done.empty())
        asio::post(loop_, [moved = std::move(done)] {
            for (const auto& request : moved)
                request->complete();
        });
}

}  // namespace posthorn::spool
