// async/at_once.hpp: many waits of one kind side by side, within a bound.
#pragma once

#include "async/async.hpp"

#include <functional>

namespace posthorn {

/// Runs task(0) to task(count - 1), begun in this order, at most `most` of them at the same time; returns when the last has ended.
/// A caller that is asked to stop passes that on and begins no more. What the tasks refer to lives until then.
awaitable<void> at_once(std::size_t count, std::size_t most, std::function<awaitable<void>(std::size_t)> task);

}  // namespace posthorn
