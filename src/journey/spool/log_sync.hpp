// spool/log_sync.hpp: where a disk is slow, commits do not wait in line for it: threads of their own wait for the syncs of the log.
// Order    a sync covers all that was written to the log before it began: one that ended well speaks for every earlier commit too.
// Pace     from a mean of the last syncs of `slow` on; then at most one for each open log is under way, and they begin evenly spaced, so
//          that commits are shared by as many as can be. Below it the writer waits itself: two threads would cost more than they gain.
// Failure  each sync under way has an open file of its own: Linux reports a failed write once to each, and a commit must hear of it
//          whichever sync met it. After the first error none that ends later counts.
// Threads  all but the calls of Done are for the writer thread; Done is called on the threads that wait, one at a time.
#pragma once

#include "spool/file_ops.hpp"

#include <boost/asio/thread_pool.hpp>

#include <functional>
#include <mutex>
#include <optional>

namespace posthorn::spool {

class LogSync {
public:
    using Clock = std::chrono::steady_clock;
    /// errno, or 0: all up to `ticket` is on the disk.
    using Done = std::function<void(std::uint64_t ticket, int error)>;

    LogSync(std::vector<std::unique_ptr<File>> logs, std::chrono::microseconds slow, Done done);
    ~LogSync();

    /// Whether the next commit should leave its sync to start().
    bool pays() const;
    /// The writer waited for a sync itself, that long.
    void took(Clock::duration time);
    /// When the next commit may begin; nothing: not before one that is under way has ended.
    std::optional<Clock::time_point> next() const;
    /// `ticket`: number of the commit that was written last; they go up. Only where next() has come.
    void start(std::uint64_t ticket);

    /// Waits for those under way; none may start after it.
    void finish();

private:
    void wait_for(File& log, std::uint64_t ticket);

    const std::chrono::microseconds slow_;
    const Done done_;
    std::vector<std::unique_ptr<File>> logs_;
    mutable std::mutex mutex_;
    std::mutex one_at_a_time_;
    std::vector<File*> idle_;                          // under the mutex, as what follows
    Clock::duration mean_{0};
    Clock::time_point started_{};
    bool failed_ = false;
    std::optional<boost::asio::thread_pool> threads_;  // made when first needed; last: they use all of the above
};

}  // namespace posthorn::spool
