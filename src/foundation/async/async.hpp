// async/async.hpp: coroutines on one event loop.
// TaskGroup  every spawned coroutine belongs to one. close() asks all to stop (cancellation) and returns when the last has
//            ended, so whatever they refer to may then be destroyed. An exception that leaves a task ends the process: tasks
//            report failures as Results.
// Signal     one-shot or repeated wake-up between coroutines of one loop: wait() returns after the next notify_all().
// Threads    none of this is for more than one thread; on_thread() runs what blocks on a helper and resumes on the loop.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <future>
#include <list>
#include <optional>
#include <utility>

namespace posthorn {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using Executor = asio::any_io_executor;

class Signal {
public:
    explicit Signal(const Executor& executor) : timer_(executor, asio::steady_timer::time_point::max()) {}
    Signal(Signal&&) = delete;
    ~Signal() { notify_all(); }
    void notify_all();
    /// Also returns when the calling coroutine is cancelled; check the condition again.
    awaitable<void> wait();
    /// True if notified, false if `duration` passed first or the calling coroutine is cancelled.
    awaitable<bool> wait_for(std::chrono::milliseconds duration);

private:
    struct Limited;
    asio::steady_timer timer_;
    Limited* limited_ = nullptr;             // who waits no longer than a while, each with a timer of its own
};

/// Waits on the loop. Returns early when the calling coroutine is cancelled.
awaitable<void> sleep_for(std::chrono::milliseconds duration);

/// True once the calling coroutine was asked to stop (TaskGroup::close).
awaitable<bool> cancelled();

class TaskGroup {
public:
    explicit TaskGroup(Executor executor) : executor_(executor), idle_(executor) {}
    TaskGroup(TaskGroup&&) = delete;
    ~TaskGroup();

    void spawn(awaitable<void> task);
    std::size_t size() const { return running_.size(); }
    /// Asks every task to stop and waits for the last. New tasks are refused from then on.
    awaitable<void> close();
    /// Waits until no task runs, without asking any to stop.
    awaitable<void> drained();
    Executor executor() const { return executor_; }

private:
    Executor executor_;
    Signal idle_;
    std::list<asio::cancellation_signal> running_;
    bool closed_ = false;
};

/// Runs `work` on a thread of `pool` and resumes the caller on its own loop with the result, or with what it threw. Who is asked to stop meanwhile
/// gets it all the same: what the work refers to lives until then. The loop outlives the pool: the thread lets go of it a moment after the caller
/// has resumed.
template <class Work>
awaitable<std::invoke_result_t<Work>> on_thread(asio::thread_pool& pool, Work work)
{
    using Value = std::invoke_result_t<Work>;
    // Not co_spawn, which passes the caller's cancellation on to the other threads: it ends the work with an exception where it comes before its
    // beginning, and is no matter of one thread where it comes amid it.
    const auto begin = [&pool](auto caller, auto task) {
        const auto loop = asio::prefer(asio::get_associated_executor(caller), asio::execution::outstanding_work.tracked);
        asio::post(pool, [caller = std::move(caller), task = std::move(task), loop]() mutable {
            task();
            asio::post(loop, [caller = std::move(caller), task = std::move(task)]() mutable { caller(task.get_future()); });
        });
    };
    std::future<Value> done = co_await asio::async_initiate<decltype(use_awaitable), void(std::future<Value>)>(
        begin, use_awaitable, std::packaged_task<Value()>(std::move(work)));
    co_return done.get();
}

/// Threads that begin with the first work for them: a process that is to be confined has none before (process/confine.hpp).
class Helpers {
public:
    explicit Helpers(std::size_t threads) : threads_(threads) {}
    Helpers(Helpers&&) = delete;
    asio::thread_pool& pool()
    {
        if (!pool_)
            pool_.emplace(threads_);
        return *pool_;
    }
    /// Returns when what they were given is done; they take nothing more.
    void join()
    {
        if (pool_)
            pool_->join();
    }

private:
    std::size_t threads_;
    std::optional<asio::thread_pool> pool_;
};

template <class Work>
awaitable<std::invoke_result_t<Work>> on_thread(Helpers& helpers, Work work)
{
    return on_thread(helpers.pool(), std::move(work));
}

}  // namespace posthorn
