#include "process/gauges.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace posthorn::process {

std::chrono::microseconds processor_time()
{
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    using namespace std::chrono;
    return seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

std::optional<std::chrono::microseconds> LagGauge::note(SteadyTime now, std::chrono::microseconds lag)
{
    largest_ = std::max(largest_, lag);
    unsaid_ = std::max(unsaid_, lag);
    if (unsaid_ < worth_a_line || (said_ && now - *said_ < between_lines))
        return {};
    said_ = now;
    return std::exchange(unsaid_, std::chrono::microseconds{});
}

std::chrono::microseconds LagGauge::take_largest() { return std::exchange(largest_, std::chrono::microseconds{}); }

}  // namespace posthorn::process
