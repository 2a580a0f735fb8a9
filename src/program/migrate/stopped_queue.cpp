#include "migrate/stopped_queue.hpp"

#include "migrate/quiet.hpp"

#include <fmt/format.h>

#include <sys/fsuid.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

namespace posthorn::migrate {

namespace fs = std::filesystem;

AsMailOwner::AsMailOwner(const supervisor::Identity& owner) : changed_(::geteuid() == 0)
{
    if (changed_) {
        ::setfsgid(owner.gid);
        ::setfsuid(owner.uid);
    }
}

AsMailOwner::~AsMailOwner()
{
    if (changed_) {
        ::setfsuid(0);
        ::setfsgid(0);
    }
}

namespace {

Result<void> must_be_stopped(const std::string& queue_directory)
{
    if (const auto running = supervisor::running_instance(queue_directory))
        return Error{fmt::format("a mail system runs on {} (process {}): stop it first", queue_directory, *running)};
    return {};
}

}  // namespace

Result<void> StoppedQueue::lock(const std::string& queue_directory)
{
    std::error_code ignored;
    if (!fs::is_directory(queue_directory + "/pid", ignored))                        // nothing ever ran on it
        return {};
    TRY(auto taken, supervisor::InstanceLock::take(queue_directory));
    TRY_VOID(taken.write_pid());
    locks_.push_back(std::move(taken));
    return {};
}

Result<std::unique_ptr<StoppedQueue>> StoppedQueue::open(const config::Snapshot& snapshot, const std::string& theirs)
{
    std::unique_ptr<StoppedQueue> queue(new StoppedQueue);
    const std::string ours = snapshot.text("queue_directory");
    TRY_VOID(must_be_stopped(theirs));
    TRY_VOID(must_be_stopped(ours));
    TRY(queue->owner_, supervisor::identity(snapshot));
    TRY_VOID(supervisor::Layout::from(snapshot).make(queue->owner_));
    TRY_VOID(queue->lock(ours));
    std::error_code ignored;
    if (!fs::equivalent(ours, theirs, ignored))
        TRY_VOID(queue->lock(theirs));
    const AsMailOwner as_owner(queue->owner_);
    queue->files_ = spool::system_files(ours + "/spool");
    spool::Events events;
    events.failed = [](Error error) {
        // As the queue manager: what the disk took is unknown, and the next run finds out.
        fmt::print(stderr, "posthorn migrate: fatal: the queue failed: {}\n", error.text());
        ::_exit(2);
    };
    auto options = spool::Options::from(snapshot);
    options.orphan_age = std::chrono::seconds{0};                  // nobody writes now: what a run that was cut off had begun is in the way
    TRY(queue->spool_, spool::Spool::open(*queue->files_, options, queue->loop_.get_executor(), queue->clock_, quiet_log(), events));
    return queue;
}

}  // namespace posthorn::migrate
