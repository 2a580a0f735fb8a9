#include "process/gauges.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace posthorn::process {

std::chrono::microseconds processor_time()
{
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    using namespace std::chrono;
    return seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

std::uint64_t resident_memory_now(int statm)
{
    char text[128];
    const ssize_t got = statm < 0 ? 0 : ::pread(statm, text, sizeof text - 1, 0);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    unsigned long long pages = 0, resident = 0;
    if (std::sscanf(text, "%llu %llu", &pages, &resident) != 2)
        return 0;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::optional<std::chrono::microseconds> LagGauge::note(SteadyTime now, std::chrono::microseconds lag)
{
    largest_ = std::max(largest_, lag);
    unsaid_ = std::max(unsaid_, lag);
    turn(now);
    this_half_ = std::max(this_half_, lag);
    late_ += lag >= worth_a_line ? 1 : 0;
    if (unsaid_ < worth_a_line || (said_ && now - *said_ < between_lines))
        return {};
    said_ = now;
    return std::exchange(unsaid_, std::chrono::microseconds{});
}

void LagGauge::turn(SteadyTime now)
{
    constexpr std::chrono::seconds half{30};
    if (now - half_began_ < half)
        return;
    half_before_ = now - half_began_ < 2 * half ? this_half_ : std::chrono::microseconds{};
    this_half_ = {};
    half_began_ = now;
}

std::chrono::microseconds LagGauge::recent(SteadyTime now)
{
    turn(now);
    return std::max(this_half_, half_before_);
}

std::chrono::microseconds LagGauge::take_largest() { return std::exchange(largest_, std::chrono::microseconds{}); }

}  // namespace posthorn::process
