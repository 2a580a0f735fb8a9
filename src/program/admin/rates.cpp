#include "admin/rates.hpp"

#include "admin/metrics.hpp"

#include <algorithm>

namespace posthorn::admin {

void Rates::see(const process::InstanceCounters& counters, SteadyTime now)
{
    Seen seen{now, {}};
    for (std::size_t at = 0; at < names.size(); ++at)
        seen.totals[at] = sum_of(counters, names[at]);
    if (seen_.size() > 1 && now - seen_[seen_.size() - 2].when < between)
        seen_.pop_back();                  // the last one is the newest; those before it are apart
    seen_.push_back(seen);
    while (seen_.size() > 2 && now - seen_.front().when > within)
        seen_.pop_front();
}

std::optional<double> Rates::per_minute(std::string_view name) const
{
    const auto place = std::ranges::find(names, name);
    if (place == names.end() || seen_.size() < 2)
        return {};
    const auto at = static_cast<std::size_t>(place - names.begin());
    const double seconds = std::chrono::duration<double>(seen_.back().when - seen_.front().when).count();
    const double grown = static_cast<double>(seen_.back().totals[at]) - static_cast<double>(seen_.front().totals[at]);
    if (seconds < 1)
        return {};
    return std::max(grown, 0.0) * 60 / seconds;   // less than before: a process was killed
}

}  // namespace posthorn::admin
