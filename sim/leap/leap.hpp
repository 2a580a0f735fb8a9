// sim/leap/leap.hpp: a loop whose time passes only where nothing else is left to do: an hour's silence takes no time.
// Linked     it replaces std::chrono::steady_clock::now() in the executable, so that the timers of Asio follow it. For tests and fuzzers.
// Standing   while run_leaping() runs, the steady clock stands still but for its leaps: what happens does not depend on the machine's speed.
// Grain      a leap is 4 ms, or a third of the time waited so far: of two waits the shorter ends first unless they are as near as that.
// Threads    one loop at a time. The system clock goes on as it was; a HandClock is turned by `turn`.
#pragma once

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>

namespace posthorn::sim {

/// Runs the loop until it is out of work. False: it was not within `limit` of its own time, or `handlers` ran; it can be asked again.
bool run_leaping(boost::asio::io_context& loop, std::chrono::microseconds limit = std::chrono::hours(1000),
                 const std::function<void(std::chrono::microseconds)>& turn = {}, std::uint64_t handlers = UINT64_MAX);

}  // namespace posthorn::sim
