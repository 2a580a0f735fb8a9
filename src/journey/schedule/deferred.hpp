// schedule/deferred.hpp: the messages that wait for their next try.
// Shape    a message key and its time; everything else of a waiting message stays in the spool.
// Cost     remembering, taking and re-timing are O(log n); about 70 octets a message (bench/schedule_bench).
#pragma once

#include "base/clock.hpp"

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace posthorn::schedule {

using MessageKey = std::uint64_t;

class Deferred {
public:
    void reserve(std::size_t messages);
    /// Remembers a message, or gives a remembered one another time.
    void put(MessageKey message, WallTime next_try);
    /// True if it was remembered.
    bool forget(MessageKey message);
    /// The message whose time has come longest ago, which is thereby forgotten; none: nothing is due.
    std::optional<MessageKey> take_due(WallTime now);
    std::optional<WallTime> earliest();
    std::optional<WallTime> next_try(MessageKey message) const;
    std::size_t size() const { return times_.size(); }
    /// Everything is due now (postqueue -f).
    void flush(WallTime now);
    /// The clock was set back by so much: everything is due as much earlier by its hands.
    void earlier(WallTime::duration step);

private:
    struct Entry {
        WallTime when;
        MessageKey message = 0;
        bool operator>(const Entry& other) const { return when > other.when; }
    };
    /// Removes entries at the top that forget() or a later put() made untrue.
    void settle_top();
    void sort_anew();

    std::unordered_map<MessageKey, WallTime> times_;      // the truth
    std::vector<Entry> heap_;                             // may hold entries that are no longer true
};

}  // namespace posthorn::schedule
