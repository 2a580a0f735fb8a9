#include "async/async.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>

#include <exception>

namespace posthorn {

awaitable<void> Signal::wait() { co_await timer_.async_wait(asio::as_tuple(use_awaitable)); }

awaitable<bool> Signal::wait_for(std::chrono::milliseconds duration)
{
    // A timer of its own: moving the shared one would wake the other waiters.
    bool notified = true;
    asio::steady_timer limit(timer_.get_executor(), duration);
    limit.async_wait([&](boost::system::error_code error) {
        if (!error) {
            notified = false;
            notify_all();                                            // others look at their condition again and go on waiting
        }
    });
    co_await wait();
    limit.cancel();
    co_await asio::post(timer_.get_executor(), use_awaitable);       // the handler above has run before its captures go
    co_return notified;
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
