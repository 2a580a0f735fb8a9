#include "observe/counters.hpp"

#include <algorithm>
#include <numeric>

namespace posthorn::observe {

namespace {
constexpr std::array<std::int64_t, Histogram::ends.size()> bounds{1'000,      5'000,       10'000,        50'000,        100'000,
                                                                  500'000,    1'000'000,   5'000'000,     10'000'000,    30'000'000,
                                                                  60'000'000, 300'000'000, 1'800'000'000, 3'600'000'000, 86'400'000'000};
}  // namespace

void Histogram::add(std::chrono::microseconds took)
{
    const std::int64_t value = std::max<std::int64_t>(took.count(), 0);       // a clock that was set back
    ++counts_[static_cast<std::size_t>(std::ranges::lower_bound(bounds, value) - bounds.begin())];
    ++count_;
    sum_ += std::chrono::microseconds{value};
}

std::uint64_t Histogram::up_to(std::size_t at) const
{
    const auto last = counts_.begin() + static_cast<std::ptrdiff_t>(std::min(at, ends.size())) + 1;
    return std::accumulate(counts_.begin(), last, std::uint64_t{0});
}

}  // namespace posthorn::observe
