// admin/rates.hpp: how fast some totals grow, from what was seen each time that somebody asked. Pure.
#pragma once

#include "base/clock.hpp"
#include "process/control.pb.h"

#include <array>
#include <deque>
#include <optional>
#include <string_view>

namespace posthorn::admin {

class Rates {
public:
    static constexpr std::array<std::string_view, 5> names{"smtpd_accepted", "qmgr_enqueued", "qmgr_delivered", "qmgr_deferred", "qmgr_bounced"};
    static constexpr std::chrono::seconds between{5}, within{90};

    void see(const process::InstanceCounters& counters, SteadyTime now);
    /// A minute, over at most `within`; none: it was not asked twice.
    std::optional<double> per_minute(std::string_view name) const;

private:
    struct Seen {
        SteadyTime when{};
        std::array<std::int64_t, names.size()> totals{};
    };
    std::deque<Seen> seen_;
};

}  // namespace posthorn::admin
