// inquiry/queue_listing.hpp: the queue as text and as JSON lines, byte for byte as Postfix prints it.       postqueue(1)
// Shape    text: two headings by the form of the first id (short or long), '*' active, '!' hold, '#' forced to expire; the reasons in
//          parentheses right-aligned to 76 columns, each above the recipients that share it.
//          JSON: one object per message and line; our own keys next_attempt and attempts come after Postfix's.
// Units    sizes in octets; the trailer in Kbytes, at least 1.
// Pure; the local time zone is the process's.
#pragma once

#include "handoff/frames.pb.h"

#include <cstdint>
#include <string>

namespace posthorn::inquiry {

class QueueText {
public:
    /// What one message adds, heading included for the first.
    std::string entry(const handoff::QueueEntry& entry);
    /// The trailer, or that the queue is empty.
    std::string end() const;

private:
    std::uint64_t messages_ = 0, octets_ = 0;
};

std::string queue_json(const handoff::QueueEntry& entry);

}  // namespace posthorn::inquiry
