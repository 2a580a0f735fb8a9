// services/queue_tally.hpp: running numbers of the queue: how many messages are where and how old, and what is deferred by destination and
// reason. Kept where things change, so that no question walks a queue of a million messages.
// Ages     by the minute of arrival: as many entries as a lifetime has minutes, whatever the queue has.
// Groups   recipients whose last delivery failed for the time being and that have not been tried since: domain and reason
//          (handoff/reasons.hpp), with what was said last. The largest are at hand in order. Senders choose the domains: at most
//          most_groups are kept apart, recipients beyond them are counted together.
// Cost     24 octets a message, 28 to 55 with what its table keeps free; O(log n) a change.
#pragma once

#include "base/clock.hpp"
#include "schedule/deferred.hpp"

#include <boost/unordered/unordered_flat_map.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace posthorn::services {

class QueueTally {
public:
    using Key = schedule::MessageKey;
    enum class Place : std::uint8_t { active, deferred, hold };
    static constexpr std::array<std::string_view, 3> place_names{"active", "deferred", "hold"};
    /// qshape's: minutes, the last without end.
    static constexpr std::array<std::string_view, 10> age_names{"0-5m",    "5-10m",    "10-20m",   "20-40m",    "40-80m",
                                                                "80-160m", "160-320m", "320-640m", "640-1280m", "1280m-"};
    using Ages = std::array<std::uint64_t, age_names.size()>;

    /// A message that is new here.
    void arrived(Key message, WallTime arrival, Place place);
    /// Of one that is not known nothing is counted.
    void moved(Key message, Place place);
    void gone(Key message);

    struct Failure {
        std::string_view destination, reason, site, text;
        WallTime when{};                       // the epoch: before a restart
    };
    /// One recipient of it is deferred.
    void failed(Key message, const Failure& failure);
    /// All of it is tried anew.
    void tried(Key message);

    Ages ages(Place place, WallTime now) const;
    std::size_t messages() const { return messages_.size(); }

    struct Group {
        std::string destination, reason;
        std::uint64_t recipients = 0;
        std::string text, site;
        WallTime last{};
        bool rest = false;                     // of all that had no room: destination and reason are "other"
    };
    static constexpr std::size_t most_groups = 20'000;
    /// Those with most recipients first.
    std::vector<const Group*> largest(std::size_t most) const;
    std::size_t groups() const { return order_.size(); }

private:
    using Number = std::uint32_t;              // of a group; 0: none
    static constexpr Number rest = 1;          // of the one for all beyond most_groups
    struct Message {
        std::uint32_t arrival_minute = 0;      // since the epoch
        Place place = Place::active;
        bool more = false;                     // it has failures in further_, too
        Number group = 0;
        std::uint32_t recipients = 0;          // in that group
    };
    Number group_of(const Failure& failure);
    void change(Number group, std::int64_t by);
    void leave(std::map<std::uint32_t, std::uint64_t>& minutes, std::uint32_t minute);

    boost::unordered_flat_map<Key, Message> messages_;
    std::unordered_map<Key, std::map<Number, std::uint32_t>> further_;   // of the few that have several groups
    std::array<std::map<std::uint32_t, std::uint64_t>, place_names.size()> minutes_;
    std::map<std::pair<std::string, std::string>, Number, std::less<>> numbers_;
    std::vector<Group> groups_{2};             // by number; those without recipients are free
    std::vector<Number> free_;
    std::set<std::pair<std::uint64_t, Number>> order_;
};

}  // namespace posthorn::services
