#include "async/async.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

#include <exception>

namespace posthorn {

awaitable<void> Signal::wait() { co_await timer_.async_wait(asio::as_tuple(use_awaitable)); }

awaitable<bool> Signal::wait_for(std::chrono::milliseconds duration)
{
    // A timer of its own: moving the shared one would wake the other waiters, as ending it would.
    asio::steady_timer limit(timer_.get_executor(), duration);
    const auto [order, signalled, passed] =
        co_await asio::experimental::make_parallel_group(timer_.async_wait(asio::deferred), limit.async_wait(asio::deferred))
            .async_wait(asio::experimental::wait_for_one(), use_awaitable);
    co_return order[0] == 0;
}

awaitable<void> sleep_for(std::chrono::milliseconds duration)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, duration);
    co_await timer.async_wait(asio::as_tuple(use_awaitable));
}

awaitable<bool> cancelled()
{
    const auto state = co_await asio::this_coro::cancellation_state;
    co_return state.cancelled() != asio::cancellation_type::none;
}

TaskGroup::~TaskGroup()
{
    if (!running_.empty())
        std::terminate();            // a task would outlive what it refers to; close() was not awaited
}

namespace {

/// Cancellation ends waits early instead of throwing out of every co_await: a task looks at cancelled() and leaves in order.
awaitable<void> in_order(awaitable<void> task)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await std::move(task);
}

}  // namespace

void TaskGroup::spawn(awaitable<void> task)
{
    if (closed_)
        return;
    const auto entry = running_.emplace(running_.end());
    asio::co_spawn(executor_, in_order(std::move(task)), asio::bind_cancellation_slot(entry->slot(), [this, entry](std::exception_ptr failure) {
                       if (failure)
                           std::rethrow_exception(failure);  // leaves the loop: the process ends, the supervisor restarts it
                       running_.erase(entry);
                       if (running_.empty())
                           idle_.notify_all();
                   }));
}

awaitable<void> TaskGroup::close()
{
    closed_ = true;
    for (auto entry = running_.begin(); entry != running_.end();)
        (entry++)->emit(asio::cancellation_type::terminal);  // a task may end, and leave the list, at once
    co_await drained();
}

awaitable<void> TaskGroup::drained()
{
    while (!running_.empty())
        co_await idle_.wait();
}

}  // namespace posthorn
