#include "schedule/pace.hpp"

#include <algorithm>

namespace posthorn::schedule {

Pace::Bucket& Pace::bucket(SteadyTime now)
{
    const std::int64_t minute = std::max(minute_of(now), minute_);
    const std::int64_t passed = std::min<std::int64_t>(minute - minute_, minutes);
    for (std::int64_t at = 0; at < passed; ++at)
        buckets_[static_cast<std::size_t>(minute - at) % minutes] = {};
    minute_ = minute;
    return buckets_[static_cast<std::size_t>(minute) % minutes];
}

Pace::Rates Pace::rates(SteadyTime now) const
{
    const std::int64_t minute = std::max(minute_of(now), minute_), oldest = minute - static_cast<std::int64_t>(minutes) + 1;
    Rates found;
    for (std::int64_t at = std::max(oldest, minute_ - static_cast<std::int64_t>(minutes) + 1); at <= minute_; ++at) {
        const Bucket& one = buckets_[static_cast<std::size_t>(at) % minutes];
        found.came += one.came;
        found.left += one.left;
    }
    const SteadyTime from = std::max(begun_, SteadyTime{std::chrono::minutes{oldest}});
    found.over = std::max(std::chrono::duration_cast<std::chrono::seconds>(now - from), least);
    found.came *= 60.0 / static_cast<double>(found.over.count());
    found.left *= 60.0 / static_cast<double>(found.over.count());
    return found;
}

}  // namespace posthorn::schedule
