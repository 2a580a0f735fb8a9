// schedule/options.hpp: this room's options, read from a snapshot once.
#pragma once

#include "config/snapshot.hpp"
#include "schedule/scheduler.hpp"

#include <string_view>

namespace posthorn::schedule {

RetryOptions retry_options(const config::Snapshot& snapshot);

/// What the processes of a transport take.
struct Capacity {
    std::uint32_t deliveries = 0;            // at once, by its column in master.cf; 0: no limit
    std::uint32_t ahead = 0;                 // requests that wait for each session
    bool operator==(const Capacity&) const = default;
};

/// Limits of one transport, by its name in master.cf.
/// A malformed feedback is an Error that names the parameter.
Result<TransportOptions> transport_options(const config::Snapshot& snapshot, std::string_view transport, Capacity capacity);

/// The scheduler's options. Transports are looked up as they appear; one with a malformed value gets the default feedback,
/// because `postfix check` and start have already refused what transport_options() refuses.
SchedulerOptions scheduler_options(config::Snapshot snapshot, std::function<Capacity(std::string_view)> capacity);

}  // namespace posthorn::schedule
