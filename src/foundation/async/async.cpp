#include "async/async.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/version.hpp>

#include <exception>

namespace posthorn {

awaitable<void> Signal::wait() { co_await timer_.async_wait(asio::as_tuple(use_awaitable)); }

/// One of a list, in the frame of the one who waits. A timer of its own: moving the shared one would wake the other waiters, as ending it
/// would. Not two waits in Asio's parallel_group, which costs half a dozen allocations each time.
struct Signal::Limited {
    Limited(Signal& of, std::chrono::milliseconds duration) : timer(of.timer_.get_executor(), duration), signal(&of), next(of.limited_)
    {
        of.limited_ = this;
    }
    Limited(Limited&&) = delete;
    ~Limited()
    {
        if (!signal)
            return;                          // it was notified, or the signal is gone
        Limited** at = &signal->limited_;
        while (*at != this)
            at = &(*at)->next;
        *at = next;
    }

    asio::steady_timer timer;
    Signal* signal;
    Limited* next;
    bool notified = false;
};

void Signal::notify_all()
{
    timer_.cancel();
    for (Limited* one = std::exchange(limited_, nullptr); one; one = one->next) {
        one->signal = nullptr;
        one->notified = true;
        one->timer.cancel();
    }
}

awaitable<bool> Signal::wait_for(std::chrono::milliseconds duration)
{
    Limited limited(*this, duration);
    co_await limited.timer.async_wait(asio::as_tuple(use_awaitable));
    co_return limited.notified;
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

static_assert(BOOST_VERSION / 100 == 1081, "read Asio's co_spawn again: awaitable_thread and its entry point are used here");

/// What co_spawn puts beneath a task is made for any handler on any executor: two executors more, an operation through the loop, a frame for our
/// own habits. A message is a dozen tasks. This is all that one of a group needs. `working` keeps the loop alive as long as the task is.
using Beneath = awaitable<asio::detail::awaitable_thread_entry_point>;
using Tasks = std::list<asio::cancellation_signal>;

Beneath beneath(awaitable<void> task, Tasks* running, Tasks::iterator entry, Signal* idle, Executor working)
{
    // Cancellation ends waits early instead of throwing out of every co_await: a task looks at cancelled() and leaves in order.
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        if (!(co_await asio::this_coro::cancellation_state).cancelled())
            co_await std::move(task);
    } catch (...) {
        // It leaves the loop, not whoever happened to spawn the task: the process ends, the supervisor restarts it.
        asio::post(working, [failure = std::current_exception()] { std::rethrow_exception(failure); });
        co_return;
    }
    running->erase(entry);
    if (running->empty())
        idle->notify_all();
}

}  // namespace

void TaskGroup::spawn(awaitable<void> task)
{
    if (closed_)
        return;
    const auto entry = running_.emplace(running_.end());
    const asio::cancellation_slot slot = entry->slot();
    asio::detail::awaitable_handler<Executor, void> thread(
        beneath(std::move(task), &running_, entry, &idle_, asio::prefer(executor_, asio::execution::outstanding_work.tracked)), executor_, slot,
        asio::cancellation_state(slot));
    const auto* const loop = executor_.target<asio::io_context::executor_type>();
    if (loop && loop->running_in_this_thread())
        thread.launch();                     // to its first wait, at once; it may be over then
    else
        asio::post(executor_, [moved = std::move(thread)]() mutable { moved.launch(); });
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
