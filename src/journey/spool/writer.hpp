// spool/writer.hpp: the writer thread behind the Spool: what is asked on the loop is done there, in batches that share a commit, and answered on the loop when it is
// on stable storage. What fails and how: spool.hpp.
#pragma once

#include "spool/jobs.hpp"
#include "spool/log_sync.hpp"
#include "spool/opening.hpp"
#include "spool/request.hpp"
#include "spool/spool.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace posthorn::spool {

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
                    wake = true;  // it must know when to wake
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
        std::vector<std::string> files;  // of messages that left: they go when that is on the disk
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
    Requests urgent_, settles_;  // under the mutex
    std::chrono::steady_clock::time_point settles_due_{}, retry_at_{};
    bool stopping_ = false;
    std::deque<Unsynced> unsynced_;  // in order of their tickets
    int sync_error_ = 0;

    Requests jobs_, done_;  // of the writer thread
    bool failed_ = false;
    std::chrono::steady_clock::time_point checkpoint_at_{};
    bool room_lacked_ = false, shrinking_ = false;
    std::uint64_t ticket_ = 0;

    LogSync log_sync_;
    std::jthread writer_;  // last: it uses all of the above
};

}  // namespace posthorn::spool
