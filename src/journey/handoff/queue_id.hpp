// handoff/queue_id.hpp: queue ids in Postfix's two forms.
// Shape    short: 5 hex digits of the microsecond, then the sequence number in hex ("4D2A93E8").
//          long: seconds in base 52 (at least 6 digits), microseconds in base 52 (4 digits), 'z', the sequence number in base 51;
//          digits are 0-9, then consonants: no vowel, so that no id is a word ("4gDq8v1Yc0z3D").
// Unique   by the sequence number alone, whatever the clock does. qmgr hands out blocks of numbers from a counter on stable storage;
//          a block lost with its process is not used again. The time in front makes ids sort and tells an administrator when.
// Units    microseconds since the epoch.
#pragma once

#include "base/clock.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::handoff {

std::string short_queue_id(WallTime when, std::uint64_t sequence);
std::string long_queue_id(WallTime when, std::uint64_t sequence);

/// True for text that may be a queue id of either form: what a command line or a log may hold, before it is looked up.
bool is_queue_id(std::string_view text);
/// The time in a long queue id; none for a short one.
std::optional<WallTime> queue_id_time(std::string_view id);
/// The sequence number in an id of either form; none where the text is not an id, or the number does not fit.
std::optional<std::uint64_t> queue_id_sequence(std::string_view id);

/// Numbers ids out of blocks. Not for more than one thread.
class QueueIds {
public:
    explicit QueueIds(bool long_form) : long_form_(long_form) {}

    void add_block(std::uint64_t first, std::uint64_t count)
    {
        next_block_ = first;
        next_count_ = count;
    }
    /// None: the blocks are used up; ask qmgr, and tell the client 451 meanwhile.
    std::optional<std::string> next(WallTime when);
    /// True when it is time to fetch the next block in the background.
    bool low() const { return next_count_ == 0; }

private:
    bool long_form_;
    std::uint64_t at_ = 0, end_ = 0;
    std::uint64_t next_block_ = 0, next_count_ = 0;
};

}  // namespace posthorn::handoff
