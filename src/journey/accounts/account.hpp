// accounts/account.hpp: one who hands mail in: how much within the last hour and day, how much that usually is, and from where.
// Name     Envelope.account: "login:bob@example.com", who proved to be that by AUTH; "uid:33", who called sendmail.
// Counts   by minute for an hour, by hour for a day: what is within the last hour is exact to a minute, within the last day to an hour. They stop at 2^32 - 1.
// Usual    the busiest hour of each of the last usual_days days with mail, today not among them.
// Network  192.0.0.0/16, 2001:db8::/32: who moves about with a telephone changes addresses, and seldom its provider six times an hour.
// Pure: time is told. A clock that goes back makes counts last longer, no more.
#pragma once

#include "base/clock.hpp"
#include "handoff/accounts.pb.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::accounts {

inline constexpr std::size_t usual_days = 28, most_networks = 64;

struct Counts {
    std::uint32_t messages = 0, recipients = 0, tried = 0, refused = 0;
    void add(const Counts& more);
};

/// Of a client's address; empty where it has none.
std::string network_of(std::string_view client_address);

class Account {
public:
    explicit Account(WallTime now) : since_(now), last_(now) {}
    explicit Account(const handoff::Account& stored);
    void store(handoff::Account& into) const;

    void handed_in(std::uint32_t recipients, std::string_view network, WallTime now);
    void tried(bool refused, WallTime now);

    Counts within_hour(WallTime now) const;
    Counts within_day(WallTime now) const;
    /// Recipients in the busiest hour of the days before today.
    std::uint32_t usual_hour(WallTime now) const;
    /// Days with mail before today.
    std::size_t days_before(WallTime now) const;
    struct Networks {
        std::size_t seen = 0;  // within the last hour
        std::size_t fresh = 0;  // of them those first seen within it
    };
    Networks networks(WallTime now) const;
    WallTime since() const { return since_; }
    WallTime last() const { return last_; }

private:
    struct Bucket {
        std::int64_t minute = 0;
        Counts counts;
    };
    struct Day {
        std::int64_t day = 0;
        std::uint32_t busiest_hour = 0, recipients = 0;
    };
    struct Network {
        std::string text;
        WallTime first{}, last{};
    };
    void count(const Counts& more, WallTime now);
    void tidy(WallTime now);

    WallTime since_, last_;
    std::vector<Bucket> buckets_;  // by minute
    std::vector<Day> days_;  // by day
    std::vector<Network> networks_;
};

}  // namespace posthorn::accounts
