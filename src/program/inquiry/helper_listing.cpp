#include "inquiry/helper_listing.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "handoff/counting.hpp"
#include "process/counters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <tuple>

namespace posthorn::inquiry {

namespace {

using Counter = process::ProcessCounters::Counter;
using Microseconds = std::chrono::microseconds;

std::uint64_t sum_of_counts(std::uint64_t one, std::int64_t other)
{
    return static_cast<std::uint64_t>(handoff::sum(static_cast<std::int64_t>(one), std::max<std::int64_t>(other, 0)));
}

void add_counter(HelperStanding& helper, std::string_view what, std::string_view range, std::int64_t value, bool ended)
{
    const auto largest = [&](Microseconds& most) { most = std::max(most, Microseconds{value}); };
    if (what == "_count") {
        helper.answers = sum_of_counts(helper.answers, value);
    } else if (what == "_sum") {
        helper.spent = Microseconds{handoff::sum(helper.spent.count(), std::max<std::int64_t>(value, 0))};
    } else if (what == "_failed") {
        helper.failed = sum_of_counts(helper.failed, value);
    } else if (what == "_bucket") {
        const auto at = std::ranges::find(observe::Histogram::ends, range);
        if (at != observe::Histogram::ends.end())
            helper.within[static_cast<std::size_t>(at - observe::Histogram::ends.begin())] +=
                static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
    } else if (!ended && what == "_open") {
        helper.open = sum_of_counts(helper.open, value);
    } else if (!ended && what == "_oldest") {
        largest(helper.oldest);
    } else if (!ended && what == "_longest") {
        largest(helper.longest);
    }
}

std::string range_text(std::optional<std::string_view> end)
{
    return end ? helper_time(Microseconds{static_cast<std::int64_t>(std::strtod(std::string(*end).c_str(), nullptr) * 1e6 + 0.5)}) : "-";
}

std::string seconds_json(Microseconds time) { return fmt::format("{:.6f}", static_cast<double>(time.count()) / 1e6); }

}  // namespace

std::optional<std::string_view> HelperStanding::end_for(unsigned of_hundred) const
{
    const std::uint64_t wanted = answers / 100 * of_hundred + (answers % 100 * of_hundred + 99) / 100;
    for (std::size_t at = 0; answers != 0 && at < within.size(); ++at)
        if (within[at] >= wanted)
            return observe::Histogram::ends[at];
    return {};
}

std::vector<HelperStanding> helpers_of(const process::InstanceCounters& counters)
{
    std::map<std::pair<std::string, std::string>, HelperStanding> found;
    const auto add = [&](const process::ProcessCounters& of, const Counter& counter, bool ended) {
        const std::string_view whole = counter.name();
        const auto brace = whole.find('{');
        if (!whole.starts_with(process::asked.name) || brace == whole.npos)
            return;
        const auto labels = handoff::parse_labels(whole.substr(brace));
        if (!labels || labels->size() < 2 || (*labels)[0].first != "kind" || (*labels)[1].first != "name")
            return;
        HelperStanding& helper = found[{(*labels)[0].second, (*labels)[1].second}];
        helper.kind = (*labels)[0].second;
        helper.name = (*labels)[1].second;
        helper.programs.insert(of.program());
        add_counter(helper, whole.substr(process::asked.name.size(), brace - process::asked.name.size()),
                    labels->size() > 2 ? std::string_view((*labels)[2].second) : std::string_view{}, counter.value(), ended);
    };
    for (const process::ProcessCounters& one : counters.processes())
        for (const Counter& counter : one.counters())
            add(one, counter, false);
    for (const process::ProcessCounters& one : counters.ended())
        for (const Counter& counter : one.counters())
            add(one, counter, true);
    std::vector<HelperStanding> helpers;
    for (auto& [key, helper] : found)
        helpers.push_back(std::move(helper));
    const auto rank = [](const HelperStanding& helper) { return std::tuple(-helper.oldest, -helper.spent, helper.kind, helper.name); };
    std::ranges::sort(helpers, {}, rank);
    return helpers;
}

std::string helper_name(const HelperStanding& helper) { return printable(helper.kind, true) + " " + printable(helper.name, true); }

std::string helper_time(Microseconds time)
{
    const double seconds = static_cast<double>(time.count()) / 1e6;
    if (seconds < 0.01)
        return fmt::format("{:.1f} ms", seconds * 1e3);
    if (seconds < 1)
        return fmt::format("{:.0f} ms", seconds * 1e3);
    return seconds < 10 ? fmt::format("{:.1f} s", seconds) : fmt::format("{:.0f} s", seconds);
}

std::string helper_open(const HelperStanding& helper)
{
    return helper.open == 0 ? "" : fmt::format("{}, for {}", helper.open, helper_time(helper.oldest));
}

std::string helpers_text(const std::vector<HelperStanding>& helpers)
{
    std::vector<std::array<std::string, 9>> rows{
        {"helper", "asked by", "answers", "failed", "mean", "half within", "99% within", "longest lately", "waiting now"}};
    for (const HelperStanding& helper : helpers) {
        std::string programs;
        for (const std::string& program : helper.programs)
            programs += (programs.empty() ? "" : ",") + printable(program, true);
        rows.push_back({helper_name(helper), programs, std::to_string(helper.answers), std::to_string(helper.failed),
                        helper.answers == 0 ? "-" : helper_time(helper.mean()), range_text(helper.end_for(50)), range_text(helper.end_for(99)),
                        helper.longest.count() == 0 ? "-" : helper_time(helper.longest), helper.open == 0 ? "-" : helper_open(helper)});
    }
    std::array<std::size_t, 9> widths{};
    for (const auto& row : rows)
        for (std::size_t at = 0; at < row.size(); ++at)
            widths[at] = std::max(widths[at], row[at].size());
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t at = 0; at < row.size(); ++at)
            line +=
                at < 2 ? fmt::format("{:<{}}  ", row[at], widths[at]) : fmt::format("{:>{}}{}", row[at], widths[at], at + 1 < row.size() ? "  " : "");
        text += line + "\n";
    }
    return text;
}

std::string helper_json(const HelperStanding& helper)
{
    std::string programs;
    for (const std::string& program : helper.programs)
        programs += (programs.empty() ? "" : ", ") + json_text(program);
    const auto or_null = [](std::optional<std::string_view> end) { return end ? std::string(*end) : "null"; };
    return fmt::format("{{\"kind\": {}, \"name\": {}, \"programs\": [{}], \"answers\": {}, \"failed\": {}, \"mean\": {}, \"half_within\": {}, "
                       "\"ninety_nine_within\": {}, \"longest_lately\": {}, \"open\": {}, \"oldest_open\": {}}}",
                       json_text(helper.kind), json_text(helper.name), programs, helper.answers, helper.failed,
                       helper.answers == 0 ? "null" : seconds_json(helper.mean()), or_null(helper.end_for(50)), or_null(helper.end_for(99)),
                       seconds_json(helper.longest), helper.open, helper.open == 0 ? "null" : seconds_json(helper.oldest));
}

}  // namespace posthorn::inquiry
