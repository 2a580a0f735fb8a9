// handoff/counting.hpp: counts on their way into a CountersReply, by their declarations (observe/counters.hpp).
// Names    of what has labels: `qmgr_results{transport="smtp",result="deferred",status="4.7.x"}`, as Prometheus writes them; of a histogram three:
//          NAME_bucket with the label `le`, NAME_sum, NAME_count. Values of labels are made printable, line feeds left alone, and escaped (\\, \", \n).
#pragma once

#include "handoff/frames.pb.h"
#include "observe/counters.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posthorn::handoff {

using CounterLabel = std::pair<std::string_view, std::string_view>;  // name, value

/// `{transport="smtp",result="deferred"}`; empty: none.
std::string labels_text(std::span<const CounterLabel> labels);
/// What labels_text() was given, in its order. None: they are not as it writes them (a process may say anything).
std::optional<std::vector<std::pair<std::string, std::string>>> parse_labels(std::string_view labels);
/// The same labels, each but `le` with the value "other": where those that are new have no room. None: as parse_labels().
std::optional<std::string> labels_as_other(std::string_view labels);
/// At the ends of the range it stays there.
std::int64_t sum(std::int64_t one, std::int64_t other);
std::string counter_name(const observe::CounterInfo& info, std::initializer_list<CounterLabel> labels);

void count(CountersReply& into, const observe::CounterInfo& info, std::uint64_t value, std::span<const CounterLabel> labels = {});
inline void count(CountersReply& into, const observe::CounterInfo& info, std::uint64_t value, std::initializer_list<CounterLabel> labels)
{
    count(into, info, value, std::span(labels.begin(), labels.size()));
}
void count(CountersReply& into, const observe::CounterInfo& info, const observe::Histogram& histogram,
           std::initializer_list<CounterLabel> labels = {});
template <std::size_t labels>
void count(CountersReply& into, const observe::CounterInfo& info, const std::array<std::string_view, labels>& names,
           const observe::Tally<labels>& tally)
{
    for (const auto& [values, value] : tally.counts()) {
        std::array<CounterLabel, labels> written;
        for (std::size_t at = 0; at < labels; ++at)
            written[at] = {names[at], values[at]};
        count(into, info, value, written);
    }
}

}  // namespace posthorn::handoff
