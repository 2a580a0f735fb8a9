#include "async/at_once.hpp"

#include <algorithm>

namespace posthorn {

namespace {

struct Share {
    Share(const Executor& executor, std::size_t tasks, std::size_t takers) : done(executor), count(tasks), running(takers) {}
    Signal done;
    std::size_t count, running, next = 0;
};

awaitable<void> take_turns(Share* share, const std::function<awaitable<void>(std::size_t)>* task)
{
    while (share->next < share->count && !co_await cancelled())
        co_await (*task)(share->next++);
    --share->running;
    share->done.notify_all();
}

}  // namespace

awaitable<void> at_once(std::size_t count, std::size_t most, std::function<awaitable<void>(std::size_t)> task)
{
    const Executor executor = co_await asio::this_coro::executor;
    if (std::min(count, most) == 1) {                                 // the most frequent case needs nobody beside the caller
        for (std::size_t at = 0; at < count && !co_await cancelled(); ++at)
            co_await task(at);
        co_return;
    }
    // A caller that is told of its end by an exception must not leave the tasks behind.
    const bool throwing = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    Share share(executor, count, std::min(count, most));
    TaskGroup group(executor);
    for (std::size_t taker = share.running; taker > 0; --taker)
        group.spawn(take_turns(&share, &task));
    while (share.running > 0 && !co_await cancelled())
        co_await share.done.wait();
    co_await group.close();
    co_await asio::this_coro::throw_if_cancelled(throwing);
}

}  // namespace posthorn
