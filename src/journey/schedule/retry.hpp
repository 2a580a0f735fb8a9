// schedule/retry.hpp: when one message is tried again, and when it is given up.          RFC 5321 4.5.4.1; Postfix qmgr(8)
// Units    seconds; times are wall-clock, because they outlive the process.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"

#include <chrono>
#include <string_view>

namespace posthorn::schedule {

struct RetryOptions {
    std::chrono::seconds minimal_backoff{300};
    std::chrono::seconds maximal_backoff{4000};
    std::chrono::seconds maximal_lifetime{5 * 86400};
    std::chrono::seconds bounce_lifetime{5 * 86400};      // of mail with the null reverse-path
    std::chrono::seconds delay_warning{0};                // 0: none

    std::chrono::seconds lifetime(bool null_sender) const { return null_sender ? bounce_lifetime : maximal_lifetime; }
    bool operator==(const RetryOptions&) const = default;
};

/// What is written for a destination of its own (retry_schedule_maps): words NAME=TIME, separated by blanks or commas, with the names of main.cf:
/// "maximal_queue_lifetime=10d, maximal_backoff_time=1h". What it does not name is as in `general`. Error: the word that is wrong, and why.
Result<RetryOptions> amended(RetryOptions general, std::string_view words);

/// As long again as the message is old, within the two bounds: attempts thin out as a message ages.
WallTime next_try(const RetryOptions& options, WallTime arrival, WallTime now);

/// True when a message that could not be delivered now goes back to its sender instead of waiting on.
bool expired(const RetryOptions& options, WallTime arrival, bool null_sender, WallTime now);

/// True when the sender is to hear that the message waits. Once per message; not for mail from <>.
bool delay_warning_due(const RetryOptions& options, WallTime arrival, bool null_sender, bool warned, WallTime now);

}  // namespace posthorn::schedule
