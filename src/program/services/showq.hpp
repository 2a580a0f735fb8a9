// services/showq.hpp: the queue as Postfix's showq(8) tells it on public/showq, which exporters read by themselves.
// Shape    attributes "name\0value\0"; first the protocol's name and an empty name; per message its attributes, then per recipient
//          original_recipient (where it differs), recipient, reason, and an empty name; an empty name more at the end.
// Units    time: seconds since the epoch of the arrival. size: octets.
#pragma once

#include "handoff/frames.pb.h"

#include <string>
#include <string_view>

namespace posthorn::services {

std::string showq_greeting();
std::string showq_entry(const handoff::QueueEntry& entry);
inline constexpr std::string_view showq_end{"\0", 1};

}  // namespace posthorn::services
