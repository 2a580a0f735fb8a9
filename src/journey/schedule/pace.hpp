// schedule/pace.hpp: how many recipients come to a site, and how many leave it, while it has mail. Pure.
// Counted   from the time on that it had none, by the minute, over the last `minutes`: what it did when there was nothing to do says nothing.
// Leaves    whoever was tried, whatever came of it: those that are deferred wait elsewhere, and come again.
#pragma once

#include "base/clock.hpp"

#include <array>
#include <chrono>
#include <cstdint>

namespace posthorn::schedule {

class Pace {
public:
    static constexpr std::size_t minutes = 10;
    /// Rates of less time than that would be guesses.
    static constexpr std::chrono::seconds least{10};

    explicit Pace(SteadyTime begin) : begun_(begin), minute_(minute_of(begin)) {}
    void came(SteadyTime now, std::size_t recipients) { bucket(now).came += static_cast<std::uint32_t>(recipients); }
    void left(SteadyTime now, std::size_t recipients) { bucket(now).left += static_cast<std::uint32_t>(recipients); }

    /// A minute; over how long they were counted.
    struct Rates {
        double came = 0, left = 0;
        std::chrono::seconds over{0};
    };
    Rates rates(SteadyTime now) const;

private:
    struct Bucket {
        std::uint32_t came = 0, left = 0;
    };
    static std::int64_t minute_of(SteadyTime time) { return std::chrono::floor<std::chrono::minutes>(time.time_since_epoch()).count(); }
    Bucket& bucket(SteadyTime now);

    SteadyTime begun_;
    std::int64_t minute_;                     // of the bucket used last
    std::array<Bucket, minutes> buckets_{};
};

}  // namespace posthorn::schedule
