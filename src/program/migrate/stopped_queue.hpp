// migrate/stopped_queue.hpp: our own queue, opened while no mail system runs: what both ways work on.
#pragma once

#include "async/run.hpp"
#include "config/snapshot.hpp"
#include "spool/spool.hpp"
#include "supervisor/instance_lock.hpp"
#include "supervisor/layout.hpp"

#include <memory>
#include <string>
#include <vector>

namespace posthorn::migrate {

/// As long as it lives this thread makes and opens files as mail_owner: what the spool gets belongs to the queue manager. Threads that are started
/// meanwhile stay so. Does nothing without root.
class AsMailOwner {
public:
    explicit AsMailOwner(const supervisor::Identity& owner);
    AsMailOwner(AsMailOwner&&) = delete;
    ~AsMailOwner();

private:
    bool changed_;
};

class StoppedQueue {
public:
    /// `theirs`: the queue directory of Postfix, which may be ours. Neither system can start on either as long as this lives.
    /// Error: which process runs; what cannot be opened.
    static Result<std::unique_ptr<StoppedQueue>> open(const config::Snapshot& snapshot, const std::string& theirs);
    StoppedQueue(StoppedQueue&&) = delete;

    const supervisor::Identity& owner() const { return owner_; }
    spool::FileOps& files() { return *files_; }
    spool::Spool& spool() { return *spool_; }
    /// Runs a call of the spool's to its end.
    template <class T>
    T await(awaitable<T> call, std::chrono::seconds limit = std::chrono::seconds(300))
    {
        return posthorn::run(loop_, std::move(call), limit);
    }
    void close() { await(spool_->close()); }

private:
    StoppedQueue() = default;
    Result<void> lock(const std::string& queue_directory);

    std::vector<supervisor::InstanceLock> locks_;
    supervisor::Identity owner_;
    asio::io_context loop_;
    SystemClock clock_;
    std::unique_ptr<spool::FileOps> files_;
    std::unique_ptr<spool::Spool> spool_;
};

}  // namespace posthorn::migrate
