#include "async/at_once.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <future>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>

using namespace posthorn;
using namespace std::chrono_literals;

namespace {

awaitable<void> sleeper(int& ended)
{
    co_await sleep_for(1h);
    if (co_await cancelled())
        ++ended;
}

awaitable<void> count_up(int& done)
{
    ++done;
    co_return;
}

awaitable<void> throws()
{
    throw std::runtime_error("broken");
    co_return;
}

/// Nothing of the loop's is waited for.
awaitable<void> waits_for_answer(std::move_only_function<void(int)>& answer, int& got)
{
    got = co_await asio::async_initiate<decltype(asio::use_awaitable), void(int)>([&](auto handler) { answer = std::move(handler); },
                                                                                  asio::use_awaitable);
}

awaitable<void> close_all(TaskGroup& group, bool& closed)
{
    co_await group.close();
    closed = true;
}

awaitable<void> waits(Signal& signal, int& woken)
{
    co_await signal.wait();
    ++woken;
}

awaitable<void> waits_for(Signal& signal, std::chrono::milliseconds limit, int& notified, int& late)
{
    ++(co_await signal.wait_for(limit) ? notified : late);
}

template <class Threads>
awaitable<void> on_helper(Threads& threads, std::thread::id& helper, std::thread::id& back)
{
    helper = co_await on_thread(threads, [] { return std::this_thread::get_id(); });
    back = std::this_thread::get_id();
}

awaitable<void> keep(asio::thread_pool& pool, std::function<int()> work, std::vector<int>& results)
{
    try {
        const int result = co_await on_thread(pool, std::move(work));
        results.push_back(result);
    } catch (const std::runtime_error&) {
        results.push_back(-1);
    }
}

struct Counted {
    awaitable<void> one(std::size_t at, std::chrono::milliseconds length)
    {
        begun.push_back(at);
        most = std::max(most, ++running);
        co_await sleep_for(length);
        --running;
    }
    awaitable<void> all(std::size_t count, std::size_t bound, std::chrono::milliseconds length)
    {
        co_await at_once(count, bound, [this, length](std::size_t at) { return one(at, length); });
        over = true;
    }
    std::vector<std::size_t> begun;
    int running = 0, most = 0;
    bool over = false;
};

}  // namespace

TEST_CASE("at_once: all tasks run, in their order, side by side within the bound; a caller that is asked to stop begins no more")
{
    for (const std::size_t bound : {1, 3, 100}) {
        asio::io_context loop;
        TaskGroup group(loop.get_executor());
        Counted counted;
        group.spawn(counted.all(10, bound, 1ms));
        loop.run_for(5s);
        CHECK(counted.over);
        CHECK(counted.begun == std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
        CHECK(counted.most == static_cast<int>(std::min<std::size_t>(bound, 10)));

        Counted stopped;
        bool closed = false;
        TaskGroup outer(loop.get_executor());
        group.spawn(stopped.all(10, bound, 1h));
        outer.spawn(close_all(group, closed));
        loop.restart();
        loop.run_for(5s);
        CHECK(closed);
        CHECK(stopped.over);
        CHECK(stopped.running == 0);
        CHECK(stopped.begun.size() == std::min<std::size_t>(bound, 10));
    }
    // A caller that is no task of a group is told of its end by an exception: not before its own tasks are over.
    asio::io_context thrown;
    Counted left;
    asio::cancellation_signal end;
    bool threw = false;
    asio::co_spawn(thrown, left.all(10, 3, 1h), asio::bind_cancellation_slot(end.slot(), [&](std::exception_ptr why) { threw = why != nullptr; }));
    asio::post(thrown, [&] { asio::post(thrown, [&] { end.emit(asio::cancellation_type::terminal); }); });
    thrown.run_for(5s);
    CHECK(left.running == 0);
    CHECK(left.begun.size() == 3);
    CHECK(threw != left.over);

    asio::io_context loop;
    TaskGroup group(loop.get_executor());
    Counted none;
    group.spawn(none.all(0, 16, 1h));
    loop.run_for(5s);
    CHECK(none.over);
}

TEST_CASE("TaskGroup: close() ends sleeping tasks at once and returns after the last")
{
    asio::io_context loop;
    TaskGroup group(loop.get_executor()), outer(loop.get_executor());
    int ended = 0;
    bool closed = false;
    for (int i = 0; i < 3; ++i)
        group.spawn(sleeper(ended));
    outer.spawn(close_all(group, closed));
    loop.run_for(5s);
    CHECK(closed);
    CHECK(ended == 3);
    group.spawn(sleeper(ended));                       // refused: the group is closed
    CHECK(group.size() == 0);
}

TEST_CASE("TaskGroup: a task of the loop begins at once and may be over at once; one of before the loop waits, or never begins")
{
    asio::io_context loop;
    TaskGroup group(loop.get_executor()), outer(loop.get_executor());
    int done = 0, ended = 0;
    group.spawn(count_up(done));
    CHECK(done == 0);                                  // nothing runs outside of the loop
    CHECK(group.size() == 1);
    asio::post(loop, [&] {
        group.spawn(count_up(done));
        CHECK(done == 2);
        CHECK(group.size() == 0);
    });
    loop.run();
    CHECK(done == 2);

    bool closed = false;
    asio::co_spawn(loop, close_all(group, closed), [](std::exception_ptr) {});
    group.spawn(sleeper(ended));                       // not begun yet when it is asked to end: it never does
    loop.restart();
    loop.run_for(5s);
    CHECK(closed);
    CHECK(ended == 0);
}

TEST_CASE("TaskGroup: a task keeps the loop running though all it waits for comes from elsewhere")
{
    asio::io_context loop;
    TaskGroup group(loop.get_executor());
    std::move_only_function<void(int)> answer;
    int got = 0;
    group.spawn(waits_for_answer(answer, got));
    std::thread elsewhere([&] {
        while (!asio::post(loop, asio::use_future([&] { return static_cast<bool>(answer); })).get()) {
        }
        asio::post(loop, [&] { std::exchange(answer, nullptr)(7); });
    });
    loop.run();
    elsewhere.join();
    CHECK(got == 7);
}

TEST_CASE("TaskGroup: what a task throws leaves the loop, not who spawned it")
{
    // The group is never destroyed: a task of it is not over.
    static asio::io_context& loop = *new asio::io_context;
    static TaskGroup& group = *new TaskGroup(loop.get_executor());
    bool went_on = false;
    asio::post(loop, [&] {
        group.spawn(throws());
        went_on = true;
    });
    CHECK_THROWS_WITH(loop.run(), "broken");
    CHECK(went_on);
}

TEST_CASE("Signal: notify wakes every waiter; a limit wakes its own waiter only as late")
{
    asio::io_context loop;
    TaskGroup group(loop.get_executor());
    Signal signal(loop.get_executor());
    int woken = 0, notified = 0, late = 0;
    group.spawn(waits(signal, woken));
    group.spawn(waits_for(signal, 1h, notified, late));
    asio::post(loop, [&] { signal.notify_all(); });
    loop.run_for(5s);
    CHECK(woken == 1);
    CHECK(notified == 1);

    loop.restart();
    group.spawn(waits(signal, woken));
    group.spawn(waits_for(signal, 1h, notified, late));
    group.spawn(waits_for(signal, 1ms, notified, late));
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (late == 0 && std::chrono::steady_clock::now() < end)
        loop.run_one_for(5s);
    loop.poll();
    CHECK(late == 1);
    CHECK(woken == 1);                                 // nobody else looks at a clock that is not his
    CHECK(notified == 1);
    signal.notify_all();
    loop.run_for(5s);
    CHECK(woken == 2);
    CHECK(notified == 2);
}

TEST_CASE("Signal: a wait with a limit ends where the signal goes away, and where its task is asked to stop")
{
    asio::io_context loop;
    TaskGroup group(loop.get_executor());
    int notified = 0, late = 0;
    {
        Signal signal(loop.get_executor());
        for (int i = 0; i < 3; ++i)
            group.spawn(waits_for(signal, 1h, notified, late));
        loop.poll();
        CHECK(notified == 0);
    }
    loop.restart();
    loop.run_for(5s);
    CHECK(notified == 3);

    Signal signal(loop.get_executor());
    loop.restart();
    group.spawn(waits_for(signal, 1ms, notified, late));    // leaves the list from amid it
    group.spawn(waits_for(signal, 1h, notified, late));
    loop.run_for(100ms);
    CHECK(late == 1);
    bool closed = false;
    asio::co_spawn(loop, close_all(group, closed), [](std::exception_ptr) {});
    loop.restart();
    loop.run_for(5s);
    CHECK(closed);
    CHECK(late == 2);
    CHECK(notified == 3);
    signal.notify_all();
}

TEST_CASE("on_thread: blocking work runs elsewhere, the caller resumes on its own loop")
{
    asio::io_context loop;
    asio::thread_pool pool(1);
    TaskGroup group(loop.get_executor());
    std::thread::id helper, back;
    group.spawn(on_helper(pool, helper, back));
    loop.run_for(5s);
    CHECK((back == std::this_thread::get_id()));
    CHECK((helper != back));
    CHECK((helper != std::thread::id{}));
}

TEST_CASE("on_thread: a task that is asked to stop before its work has begun, or while it is done, gets the result all the same")
{
    constexpr int threads = 4, tasks = 400;
    asio::io_context loop;
    asio::thread_pool pool(threads);
    TaskGroup group(loop.get_executor()), outer(loop.get_executor());
    std::promise<void> go_on;
    const auto wait = go_on.get_future().share();
    std::vector<int> results;
    bool closed = false;
    for (int i = 0; i < tasks; ++i)
        group.spawn(keep(pool, [i, wait] { return wait.get(), i; }, results));
    outer.spawn(close_all(group, closed));
    loop.run_for(50ms);
    CHECK_FALSE(closed);
    CHECK(results.empty());
    go_on.set_value();
    loop.run_for(5s);
    CHECK(closed);
    std::ranges::sort(results);
    std::vector<int> all(tasks);
    std::iota(all.begin(), all.end(), 0);
    CHECK(results == all);
}

TEST_CASE("on_thread: what the work throws is thrown where it is waited for")
{
    asio::io_context loop;
    asio::thread_pool pool(1);
    TaskGroup group(loop.get_executor());
    std::vector<int> results;
    group.spawn(keep(pool, []() -> int { throw std::runtime_error("no"); }, results));
    group.spawn(keep(pool, [] { return 2; }, results));
    loop.run_for(5s);
    CHECK(results == std::vector<int>{-1, 2});
}

TEST_CASE("helpers: none of their threads is there before the first work")
{
    const auto threads = [] {
        std::set<std::filesystem::path> found;
        for (const auto& task : std::filesystem::directory_iterator("/proc/self/task"))
            found.insert(task.path());
        return found;
    };
    const auto before = threads();
    const auto more = [&] { return std::ranges::any_of(threads(), [&](const auto& thread) { return !before.contains(thread); }); };
    asio::io_context loop;
    Helpers helpers(1), unused(1);
    CHECK_FALSE(more());
    TaskGroup group(loop.get_executor());
    std::thread::id helper, back;
    group.spawn(on_helper(helpers, helper, back));
    loop.run_for(5s);
    CHECK((back == std::this_thread::get_id()));
    CHECK((helper != back));
    CHECK(more());
    helpers.join();
    unused.join();
}
