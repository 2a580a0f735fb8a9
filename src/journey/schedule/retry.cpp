#include "schedule/retry.hpp"

#include <algorithm>

namespace posthorn::schedule {

WallTime next_try(const RetryOptions& options, WallTime arrival, WallTime now)
{
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - arrival);
    // A clock that went back makes the age negative: the lower bound holds. Bounds the wrong way round: the upper one holds.
    return now + std::min(std::max(age, options.minimal_backoff), std::max(options.maximal_backoff, std::chrono::seconds{1}));
}

bool expired(const RetryOptions& options, WallTime arrival, bool null_sender, WallTime now)
{
    return now - arrival >= (null_sender ? options.bounce_lifetime : options.maximal_lifetime);
}

bool delay_warning_due(const RetryOptions& options, WallTime arrival, bool null_sender, bool warned, WallTime now)
{
    return options.delay_warning.count() > 0 && !warned && !null_sender && now - arrival >= options.delay_warning;
}

}  // namespace posthorn::schedule
