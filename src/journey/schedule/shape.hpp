// schedule/shape.hpp: how much one MX set takes, over all sites that it serves. Pure; time is given.
// Shape     a ceiling of deliveries at once, a rate, a time of silence; each of them absent until the set asks for it.
// AIMD      "slower" halves rate and concurrency, a refused connection lowers the ceiling to the last good number. Only deliveries begun
//           after a decrease may cause the next one: an answer to what was sent before is no news. Both grow by addition:
//           a twentieth of the old rate a minute, one delivery more a minute (after a refused connection every 5 minutes, and each
//           time the same number is refused again half as often, up to an hour), until nothing of the decrease is left.
// Rules     sessions and interval of the rule file are no decrease: they neither grow nor end.
// Silence   suspend(): nothing until then; afterwards it begins with one delivery at a time.
// Kept      kept() is what outlives the process, restore() takes it up: time has gone on meanwhile. Rules come again with the first delivery.
#pragma once

#include "base/clock.hpp"
#include "peers/manners.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace posthorn::schedule {

/// What a delivery heard of how much its MX set takes.
struct SiteNotice {
    std::string set;                            // the MX set; empty: not known, and nothing of this counts
    std::uint32_t sessions = 0;                 // a rule's: at once; 0: none
    std::chrono::microseconds interval{0};      // a rule's: between two mails; 0: none
    std::uint32_t refused_at = 0;               // a session was refused while so many others stood; 0: none was
    bool slower = false, fewer = false;
    std::chrono::seconds suspend{0};
    std::string said;                           // "host mx.example.com[192.0.2.1] said: 421 4.7.0 ..."

    bool asks() const { return slower || fewer || refused_at != 0 || suspend.count() != 0; }
};

class Shape {
public:
    enum class Change : std::uint8_t { slower, fewer, refused, suspended };

    void rule(std::uint32_t sessions, std::chrono::microseconds interval);
    /// What the notice changes; none: nothing. `begun`: the delivery that heard it.
    std::optional<Change> heard(const SiteNotice& notice, SteadyTime begun, SteadyTime now);

    /// A delivery may start.
    bool open(SteadyTime now) const { return !suspended(now) && (room() == 0 || in_flight_ < room()) && now >= next_; }
    bool full() const { return room() != 0 && in_flight_ >= room(); }
    bool suspended(SteadyTime now) const { return now < suspended_until_; }
    /// When open() may become true without a delivery ending.
    SteadyTime not_before() const { return std::max(next_, suspended_until_); }
    SteadyTime suspended_until() const { return suspended_until_; }
    /// Deliveries at once; 0: no limit.
    std::uint32_t room() const;
    /// Mails in a minute; 0: no limit.
    double per_minute() const { return per_minute_; }
    std::uint32_t in_flight() const { return in_flight_; }
    std::uint32_t ceiling() const { return ceiling_; }

    void started(SteadyTime now);
    void ended();
    /// Grows by what the time that has passed allows. True: something changed.
    bool recover(SteadyTime now);
    /// When what was asked for is given back whole, if nothing more happens.
    SteadyTime recovered_at(SteadyTime now) const;
    /// Nothing is held back any more, not even by a rule.
    bool empty(SteadyTime now) const { return rule_sessions_ == 0 && rule_interval_.count() == 0 && eased(now); }
    /// Nothing but a rule does.
    bool eased(SteadyTime now) const { return ceiling_ == 0 && per_minute_ == 0 && !suspended(now); }
    void revive() { suspended_until_ = {}; }

    /// Without what it is of. Both of `now` are the same moment.
    peers::Restraint kept(SteadyTime now, WallTime wall) const;
    void restore(const peers::Restraint& kept, SteadyTime now, WallTime wall);
    /// An operator's word: nothing was asked for.
    void lift();

private:
    std::chrono::microseconds interval() const;
    void forget_starts(SteadyTime now);

    std::uint32_t rule_sessions_ = 0;
    std::chrono::microseconds rule_interval_{0};
    std::uint32_t in_flight_ = 0;

    std::uint32_t ceiling_ = 0, peak_ = 0;      // 0: none; where the trouble began: there the ceiling ends
    std::chrono::seconds step_{60};             // between two raises of the ceiling
    std::uint32_t refused_at_ = 0;
    SteadyTime raised_{};

    double per_minute_ = 0, before_ = 0;        // 0: none; before the trouble
    SteadyTime quickened_{};

    SteadyTime decreased_{};                    // the last time: what began earlier is no news
    SteadyTime suspended_until_{}, next_{};
    std::deque<SteadyTime> starts_;             // of the last minute
};

}  // namespace posthorn::schedule
