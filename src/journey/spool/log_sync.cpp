#include "spool/log_sync.hpp"

#include <boost/asio/post.hpp>

namespace posthorn::spool {

LogSync::LogSync(std::vector<std::unique_ptr<File>> logs, std::chrono::microseconds slow, Done done)
    : slow_(slow), done_(std::move(done)), logs_(std::move(logs))
{
    for (const auto& log : logs_)
        idle_.push_back(log.get());
}

LogSync::~LogSync() { finish(); }

void LogSync::finish()
{
    if (threads_)
        threads_->join();
}

bool LogSync::pays() const
{
    const std::lock_guard lock(mutex_);
    return mean_ >= slow_ && !idle_.empty() && !failed_;
}

void LogSync::took(Clock::duration time)
{
    const std::lock_guard lock(mutex_);
    mean_ += (time - mean_) / 8;
}

std::optional<LogSync::Clock::time_point> LogSync::next() const
{
    const std::lock_guard lock(mutex_);
    if (idle_.empty())
        return {};
    return started_ + mean_ / static_cast<int>(logs_.size());
}

void LogSync::start(std::uint64_t ticket)
{
    if (!threads_)
        threads_.emplace(logs_.size());
    File* log = nullptr;
    {
        const std::lock_guard lock(mutex_);
        log = idle_.back();
        idle_.pop_back();
        started_ = Clock::now();
    }
    boost::asio::post(*threads_, [this, log, ticket] { wait_for(*log, ticket); });
}

void LogSync::wait_for(File& log, std::uint64_t ticket)
{
    const auto start = Clock::now();
    int error = log.sync();
    const std::lock_guard alone(one_at_a_time_);
    {
        const std::lock_guard lock(mutex_);
        mean_ += (Clock::now() - start - mean_) / 8;
        idle_.push_back(&log);
        if (failed_)
            return;
        failed_ = error != 0;
    }
    done_(ticket, error);
}

}  // namespace posthorn::spool
