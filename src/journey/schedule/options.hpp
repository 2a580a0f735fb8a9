// schedule/options.hpp: this room's options, read from a snapshot once.
#pragma once

#include "config/snapshot.hpp"
#include "schedule/scheduler.hpp"

#include <string_view>

namespace posthorn::schedule {

RetryOptions retry_options(const config::Snapshot& snapshot);

/// Limits of one transport, by its name in master.cf. `process_limit` is its column there; 0: none.
/// A malformed feedback is an Error that names the parameter.
Result<TransportOptions> transport_options(const config::Snapshot& snapshot, std::string_view transport, std::uint32_t process_limit);

/// The scheduler's options. Transports are looked up as they appear; one with a malformed value gets the default feedback,
/// because `postfix check` and start have already refused what transport_options() refuses.
SchedulerOptions scheduler_options(config::Snapshot snapshot, std::function<std::uint32_t(std::string_view)> process_limit);

}  // namespace posthorn::schedule
