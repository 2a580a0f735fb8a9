#include "sim/leap/leap.hpp"

#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <ctime>
#include <utility>

namespace {

std::atomic<std::int64_t> leapt{0};         // nanoseconds, from the machine's clock to ours
std::atomic<std::int64_t> standing{0};      // our time, where it stands still

std::int64_t machine_time()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

// The definition of the executable comes before that of libstdc++.
std::chrono::steady_clock::time_point std::chrono::steady_clock::now() noexcept
{
    const std::int64_t stands = standing.load(std::memory_order_relaxed);
    return time_point(duration(stands != 0 ? stands : machine_time() + leapt.load(std::memory_order_relaxed)));
}

namespace posthorn::sim {

namespace {

/// Handlers that ran, without the alarm's.
std::size_t ready(boost::asio::io_context& loop, std::size_t& rung)
{
    const std::size_t all = loop.poll();
    return all - std::exchange(rung, 0);
}

}  // namespace

bool run_leaping(boost::asio::io_context& loop, std::chrono::microseconds limit, const std::function<void(std::chrono::microseconds)>& turn,
                 std::uint64_t handlers)
{
    using namespace std::chrono;
    struct Still {
        Still() { standing = steady_clock::now().time_since_epoch().count(); }
        ~Still()
        {
            leapt = standing - machine_time();
            standing = 0;
        }
    } still;
    boost::asio::steady_timer alarm(loop);
    microseconds waited{0}, all{0};
    std::size_t rung = 0;                   // of what ran
    for (std::uint64_t ran = 0; all <= limit && ran <= handlers;) {
        loop.restart();
        const std::size_t now = ready(loop, rung);
        if (loop.stopped())
            return true;
        ran += now;
        if (now != 0) {
            waited = microseconds(0);
            continue;
        }
        const microseconds leap = std::max<microseconds>(milliseconds(4), waited / 3);
        waited += leap;
        all += leap;
        standing += duration_cast<nanoseconds>(leap).count();
        if (turn)
            turn(leap);
        // Asio looks at its timers when the earliest is due by the machine's clock: one that always is makes it look.
        alarm.expires_at(steady_clock::time_point::min());
        alarm.async_wait([&](const boost::system::error_code&) { ++rung; });
    }
    return false;
}

}  // namespace posthorn::sim
