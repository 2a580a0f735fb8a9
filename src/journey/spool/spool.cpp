#include "spool/spool.hpp"

#include "spool/incoming.hpp"
#include "spool/jobs.hpp"
#include "spool/ledger.hpp"
#include "spool/log_sync.hpp"
#include "spool/opening.hpp"
#include "spool/request.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>

#include <fmt/format.h>

#include <sys/prctl.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace posthorn::spool {

namespace {

constexpr std::string_view damage_marker_reason = "a page of the queue database is damaged; it is salvaged at the next start";

}  // namespace

class Spool::Core {
public:
    Core(FileOps& files, Options options, Executor loop, const Clock& clock, observe::Log log, Events events, Opening opening)
        : options(options), loop_(std::move(loop)), clock_(clock), log_(std::move(log)), events_(std::move(events)), opening_(std::move(opening)),
          files_(files),
          log_sync_(std::move(opening_.logs), this->options.slow_sync, [this](std::uint64_t ticket, int error) { synced(ticket, error); })
    {
        writer_ = std::jthread([this] { write(); });
    }

    ~Core() { stop(); }

    template <class T>
    awaitable<Result<T>> call(Request::Kind kind, std::move_only_function<Result<T>(Ledger&)> work)
    {
        return submit<T>(std::make_unique<Call<T>>(kind, std::move(work)));
    }

    template <class T>
    awaitable<Result<T>> run(std::unique_ptr<Job<T>> job)
    {
        return submit<T>(std::make_unique<JobCall<T>>(std::move(job)));
    }

    /// Completes everything that was asked, then ends the thread. Callers are answered on the loop, later.
    void stop()
    {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_one();
        if (writer_.joinable())
            writer_.join();
    }

    const Opened& opened() const { return opening_.opened; }
    asio::thread_pool& helpers() { return helpers_; }
    Executor loop() const { return loop_; }

    const Options options;

private:
    template <class T, class C>
    awaitable<Result<T>> submit(std::unique_ptr<C> request)
    {
        return asio::async_initiate<decltype(use_awaitable), void(Result<T>)>(
            [this](auto handler, std::unique_ptr<C> moved) {
                moved->done = [done = std::move(handler), work = asio::make_work_guard(loop_)](Result<T> result) mutable {
                    auto handler_moved = std::move(done);
                    work.reset();
                    handler_moved(std::move(result));
                };
                hand_over(std::move(moved));
            },
            use_awaitable, std::move(request));
    }

    void hand_over(std::unique_ptr<Request> request)
    {
        bool wake = false;
        {
            const std::lock_guard lock(mutex_);
            if (request->kind == Request::Kind::settle) {
                if (settles_.empty()) {
                    settles_due_ = std::max(std::chrono::steady_clock::now() + options.verdict_delay, retry_at_);
                    wake = true;                       // it must know when to wake
                }
                settles_.push_back(std::move(request));
            } else {
                wake = urgent_.empty();
                urgent_.push_back(std::move(request));
            }
        }
        if (wake)
            wake_.notify_one();
    }

    void write();
    void turn(Requests batch, bool stopping);
    void transaction(Requests& batch);
    void out_of_room(Requests& batch, const std::string& text);
    bool checkpoint_due(unsigned shares) const;
    bool has_idle_work() const { return !failed_ && (shrinking_ || checkpoint_due(1)); }
    void housekeeping(bool idle);
    void fail(const Failed& failure);
    void answer(Requests done);
    void answer_when_synced(Requests done);
    void synced(std::uint64_t ticket, int error);
    void wait_for_turn(std::unique_lock<std::mutex>& lock);
    void drain();
    void heed_syncs();

    /// A commit that is written, and what waits for its sync.
    struct Unsynced {
        std::uint64_t ticket = 0;
        Requests requests;
        std::vector<std::string> files;                // of messages that left: they go when that is on the disk
    };

    Executor loop_;
    const Clock& clock_;
    observe::Log log_;
    Events events_;
    Opening opening_;
    FileOps& files_;
    asio::thread_pool helpers_{1};

    std::mutex mutex_;
    std::condition_variable wake_;
    Requests urgent_, settles_;                        // under the mutex
    std::chrono::steady_clock::time_point settles_due_{}, retry_at_{};
    bool stopping_ = false;
    std::deque<Unsynced> unsynced_;                    // in order of their tickets
    int sync_error_ = 0;

    Requests jobs_, done_;                             // of the writer thread
    bool failed_ = false;
    std::chrono::steady_clock::time_point checkpoint_at_{};
    bool room_lacked_ = false, shrinking_ = false;
    std::uint64_t ticket_ = 0;

    LogSync log_sync_;
    std::jthread writer_;                              // last: it uses all of the above
};

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

Result<std::unique_ptr<Spool>> Spool::open(FileOps& files, Options options, Executor loop, const Clock& clock, observe::Log log, Events events)
{
    TRY(Opening opening, open_queue(files, options, clock, log));
    return std::unique_ptr<Spool>(
        new Spool(std::make_unique<Core>(files, options, std::move(loop), clock, std::move(log), std::move(events), std::move(opening))));
}

Spool::Spool(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Spool::~Spool() = default;
const Opened& Spool::opened() const { return core_->opened(); }

awaitable<Result<Lease>> Spool::enqueue(NewMessageRef message)
{
    return core_->call<Lease>(Request::Kind::enqueue, [moved = std::move(message)](Ledger& ledger) { return ledger.enqueue(*moved); });
}

awaitable<Result<bool>> Spool::was_committed(std::string queue_id)
{
    return core_->call<bool>(Request::Kind::read, [id = std::move(queue_id)](Ledger& ledger) -> Result<bool> { return ledger.was_committed(id); });
}

awaitable<Result<std::vector<std::pair<std::string, std::string>>>> Spool::taken_over(std::string source, std::vector<std::string> queue_ids)
{
    using Known = std::vector<std::pair<std::string, std::string>>;
    return core_->call<Known>(Request::Kind::read, [from = std::move(source), ids = std::move(queue_ids)](Ledger& ledger) -> Result<Known> {
        return ledger.taken_over(from, ids);
    });
}

awaitable<Result<void>> Spool::forget_taken_over(std::string source, std::vector<std::string> queue_ids)
{
    return core_->call<void>(Request::Kind::change, [from = std::move(source), ids = std::move(queue_ids)](Ledger& ledger) -> Result<void> {
        ledger.forget_taken_over(from, ids);
        return {};
    });
}

awaitable<Result<void>> Spool::drop_file(std::string queue_id)
{
    return core_->call<void>(Request::Kind::read, [id = std::move(queue_id)](Ledger& ledger) -> Result<void> {
        if (handoff::queue_id_sequence(id) && !ledger.was_committed(id))
            ledger.files().remove(incoming_name(id));
        return {};
    });
}

awaitable<Result<std::optional<Lease>>> Spool::find(std::string queue_id)
{
    return core_->call<std::optional<Lease>>(Request::Kind::read,
                                             [id = std::move(queue_id)](Ledger& ledger) -> Result<std::optional<Lease>> { return ledger.find(id); });
}

awaitable<Result<Settled>> Spool::settle(Settlement settlement)
{
    return core_->call<Settled>(Request::Kind::settle, [moved = std::move(settlement)](Ledger& ledger) { return ledger.settle(moved); });
}

awaitable<Result<std::size_t>> Spool::alter(std::vector<Lease> leases, Change change)
{
    return core_->call<std::size_t>(Request::Kind::change,
                                    [moved = std::move(leases), change](Ledger& ledger) { return ledger.alter(moved, change); });
}

awaitable<Result<std::size_t>> Spool::remove(std::vector<Lease> leases)
{
    return core_->call<std::size_t>(Request::Kind::settle, [moved = std::move(leases)](Ledger& ledger) { return ledger.remove(moved); });
}

awaitable<Result<Lease>> Spool::replace(Lease old, NewMessageRef message)
{
    return core_->call<Lease>(Request::Kind::change, [old, moved = std::move(message)](Ledger& ledger) { return ledger.replace(old, *moved); });
}

awaitable<Result<StoredMessage>> Spool::read(Lease lease)
{
    return core_->call<StoredMessage>(Request::Kind::read, [lease](Ledger& ledger) { return ledger.read(lease); });
}

awaitable<Result<std::unique_ptr<ContentReader>>> Spool::content(Lease lease)
{
    return core_->call<std::unique_ptr<ContentReader>>(Request::Kind::read, [lease](Ledger& ledger) { return ledger.content(lease); });
}

awaitable<Result<Page<Scheduled>>> Spool::load(std::uint64_t after, std::size_t limit)
{
    return core_->call<Page<Scheduled>>(Request::Kind::read,
                                        [after, limit](Ledger& ledger) -> Result<Page<Scheduled>> { return ledger.load(after, limit); });
}

awaitable<Result<Page<StoredMessage>>> Spool::list(std::uint64_t after, std::size_t limit)
{
    return core_->call<Page<StoredMessage>>(Request::Kind::read,
                                            [after, limit](Ledger& ledger) -> Result<Page<StoredMessage>> { return ledger.list(after, limit); });
}

awaitable<Result<Scheduled>> Spool::scheduled(Lease lease)
{
    return core_->call<Scheduled>(Request::Kind::read, [lease](Ledger& ledger) { return ledger.scheduled(lease); });
}

awaitable<Result<Block>> Spool::reserve(Counter counter, std::uint64_t count)
{
    return core_->call<Block>(Request::Kind::change, [=](Ledger& ledger) -> Result<Block> { return ledger.reserve(counter, count); });
}

/// This database has one owner, and nobody hands messages over to it while it runs.
void Spool::on_adopted(std::function<void(std::vector<Lease>)>) {}

awaitable<void> Spool::close()
{
    co_await on_thread(core_->helpers(), [core = core_.get()] {
        core->stop();
        return true;
    });
}

awaitable<Result<std::size_t>> Spool::sweep()
{
    return core_->call<std::size_t>(Request::Kind::sweep,
                                    [age = core_->options.orphan_age](Ledger& ledger) -> Result<std::size_t> { return ledger.sweep(age); });
}

awaitable<Result<std::vector<std::string>>> Spool::check() { return core_->run(check_job()); }
awaitable<Result<void>> Spool::backup(std::string folder, std::vector<std::string> beside)
{
    auto done = co_await core_->run(backup_job(std::move(folder), std::move(beside)));
    if (!done)
        co_return std::move(done).error();
    co_return Result<void>{};
}

awaitable<Result<Rows>> Spool::query(std::string sql, std::size_t row_limit, std::chrono::milliseconds time_limit)
{
    auto snapshot = co_await core_->run(snapshot_job());
    if (!snapshot)
        co_return std::move(snapshot).error();
    co_return co_await on_thread(core_->helpers(), [snapshot = std::move(*snapshot), sql = std::move(sql), row_limit, time_limit] {
        return run_query(*snapshot, sql, row_limit, time_limit);
    });
}

}  // namespace posthorn::spool
