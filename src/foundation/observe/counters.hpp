// observe/counters.hpp: what a process counts, declared once in the room that counts it (`ROOM/counters.hpp`), and the shapes that counts have.
// `posthorn counters` shows them as they are, the admin service as Prometheus metrics with the names, units and help texts of the declarations.
// Names    "qmgr_delivered": the station, then what is counted, in small letters. The metric is posthorn_qmgr_delivered_total.
// Units    times are counted in microseconds and shown in seconds, sizes are in octets and shown as bytes.
// Bounds   what has labels has a limit of different ones: what strangers choose must not become memory. Beyond it, "other".
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::observe {

struct CounterInfo {
    /// total: only grows while its process lives. gauge: how much there is now. histogram: see Histogram.
    enum class Kind : std::uint8_t { total, gauge, histogram };
    enum class Unit : std::uint8_t { none, microseconds, octets };
    /// Of several processes of a line; totals are always added.
    enum class Together : std::uint8_t { sum, largest };

    std::string_view name;
    Kind kind = Kind::total;
    Unit unit = Unit::none;
    std::string_view help;
    std::string_view metric = {};              // where the metric has another name: "process_cpu"
    Together together = Together::sum;
};

/// Counts by label values: at most `most` different ones, what comes after them is counted as "other" in each.
template <std::size_t labels>
class Tally {
public:
    using Values = std::array<std::string, labels>;

    explicit Tally(std::size_t most) : most_(most) {}
    void add(const std::array<std::string_view, labels>& values, std::uint64_t count = 1)
    {
        Values key;
        for (std::size_t at = 0; at < labels; ++at)
            key[at] = values[at];
        auto found = counts_.find(key);
        if (found == counts_.end()) {
            if (counts_.size() >= most_)
                key.fill("other");
            found = counts_.try_emplace(std::move(key), 0).first;
        }
        found->second += count;
    }
    const std::map<Values, std::uint64_t>& counts() const { return counts_; }

private:
    std::size_t most_;
    std::map<Values, std::uint64_t> counts_;
};

/// How long something took, in ranges that end at these bounds; the last has no end.
class Histogram {
public:
    /// The ends of the ranges, in seconds, as they are written in the label `le`.
    static constexpr std::array<std::string_view, 15> ends{"0.001", "0.005", "0.01", "0.05", "0.1",  "0.5",  "1",    "5",
                                                           "10",    "30",    "60",   "300",  "1800", "3600", "86400"};

    void add(std::chrono::microseconds took);
    /// How many took no longer than ends[at]; of at == ends.size(): all.
    std::uint64_t up_to(std::size_t at) const;
    std::uint64_t count() const { return count_; }
    std::chrono::microseconds sum() const { return sum_; }

private:
    std::array<std::uint64_t, ends.size() + 1> counts_{};
    std::uint64_t count_ = 0;
    std::chrono::microseconds sum_{};
};

}  // namespace posthorn::observe
