// async/run.hpp: a coroutine run to its end on a loop, for tests and small tools.
//   asio::io_context loop;
//   CHECK(run(loop, stream->read_some(room)).value() == 5);
// Other tasks of the loop go on meanwhile. Past `limit` it throws: a test that hangs says so instead.
// run_until() does the same for a condition, looked at after each of the loop's steps and now and then.
#pragma once

#include "async/async.hpp"

#include <boost/asio/io_context.hpp>

#include <exception>
#include <optional>
#include <stdexcept>

namespace posthorn {

template <class Condition>
void run_until(asio::io_context& loop, Condition done, std::chrono::seconds limit = std::chrono::seconds(20))
{
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
        if (std::chrono::steady_clock::now() >= end)
            throw std::runtime_error("run: what was waited for did not come in time");
        if (loop.stopped())
            loop.restart();
        loop.run_one_for(std::chrono::milliseconds(10));
    }
}

template <class T>
T run(asio::io_context& loop, awaitable<T> work, std::chrono::seconds limit = std::chrono::seconds(20))
{
    struct Outcome {
        bool done = false;
        std::exception_ptr failure;
        std::optional<std::conditional_t<std::is_void_v<T>, bool, T>> value;
    } outcome;
    if constexpr (std::is_void_v<T>)
        asio::co_spawn(loop, std::move(work), [&](std::exception_ptr failure) {
            outcome.failure = failure;
            outcome.done = true;
        });
    else
        asio::co_spawn(loop, std::move(work), [&](std::exception_ptr failure, T value) {
            outcome.failure = failure;
            outcome.done = true;
            outcome.value.emplace(std::move(value));
        });
    run_until(loop, [&] { return outcome.done; }, limit);
    if (outcome.failure)
        std::rethrow_exception(outcome.failure);
    if constexpr (!std::is_void_v<T>) {
        if (!outcome.value)
            throw std::runtime_error("run: the coroutine ended without a value");
        return std::move(*outcome.value);
    }
}

}  // namespace posthorn
