// inquiry/helper_listing.hpp: who is asked while mail waits (observe/asked.hpp): filters, policy servers, databases, lists in the DNS; of all processes together, as text
// and as JSON. Counts are those since the instance was started.
// Pure.
#pragma once

#include "observe/counters.hpp"
#include "process/control.pb.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::inquiry {

struct HelperStanding {
    std::string kind, name;  // "milter", "inet:127.0.0.1:11332"
    std::set<std::string> programs;  // that ask it
    std::uint64_t answers = 0, failed = 0, open = 0;  // failed: answers that were of no use, or did not come; open: those that ask now
    std::chrono::microseconds spent{}, oldest{}, longest{};  // all answers together; the oldest open one; the longest of the last minutes
    std::array<std::uint64_t, observe::Histogram::ends.size()> within{};  // how many took no longer than ends[at]

    std::chrono::microseconds mean() const { return answers == 0 ? spent : spent / static_cast<std::int64_t>(answers); }
    /// The end of the range in which so many of a hundred have been answered, in seconds: "0.05"; none: there are no answers, or it is over a day.
    std::optional<std::string_view> end_for(unsigned of_hundred) const;
};

/// Those that somebody waits for in front, by how long; then those that took the most time of all.
std::vector<HelperStanding> helpers_of(const process::InstanceCounters& counters);

std::string helpers_text(const std::vector<HelperStanding>& helpers);
/// One object: {"kind": "milter", "name": ..., "programs": [...], "answers": 12, "failed": 0, "mean": 0.0123, "half_within": 0.01, ...}; times in seconds, null: not known.
std::string helper_json(const HelperStanding& helper);
/// "milter inet:127.0.0.1:11332"
std::string helper_name(const HelperStanding& helper);
/// "0.4 ms", "12 ms", "3.1 s", "214 s"
std::string helper_time(std::chrono::microseconds time);
/// "3, for 14 s"; empty: nobody waits for it.
std::string helper_open(const HelperStanding& helper);

}  // namespace posthorn::inquiry
