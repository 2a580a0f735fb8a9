#include "admin/metrics.hpp"

#include "admin/counters.hpp"
#include "base/json.hpp"
#include "handoff/counting.hpp"
#include "process/counters.hpp"
#include "services/counters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

namespace posthorn::admin {

namespace {

using observe::CounterInfo;
using Counter = process::ProcessCounters::Counter;

/// `{service="smtp/inet",program="smtpd"}`
std::string line_labels(std::string_view service, std::string_view program)
{
    const handoff::CounterLabel labels[] = {{"service", service.empty() ? "master" : service}, {"program", program}};
    return handoff::labels_text(labels);
}

/// What is there now ends with its process.
bool is_gauge(std::string_view name)
{
    const std::string_view declared = name.substr(0, name.find('{'));
    return std::ranges::any_of(all_counters(), [&](const auto& list) {
        return std::ranges::any_of(list, [&](const CounterInfo& info) { return info.name == declared && info.kind == CounterInfo::Kind::gauge; });
    });
}

struct Found {
    std::size_t metric;
    std::string_view suffix;               // of a histogram's series: "_bucket", "_sum", "_count"
};

struct Sample {
    std::string name, labels;
    std::int64_t value = 0;
    bool of_time = false;                  // microseconds, shown in seconds
};

/// The ranges of a histogram in their order, whoever counted them: what an ended process had is told by name, where "+Inf" comes before "0.001".
std::tuple<std::string_view, int, double> place_in_histogram(const Sample& sample)
{
    const std::string_view labels = sample.labels;
    const auto end = labels.rfind(",le=\"");
    if (!sample.name.ends_with("_bucket") || end == labels.npos)
        return {labels.substr(0, labels.size() - 1), sample.name.ends_with("_sum") ? 1 : 2, 0};
    const std::string text(labels.substr(end + 5, labels.size() - end - 7));
    return {labels.substr(0, end), 0, text == "+Inf" ? std::numeric_limits<double>::infinity() : std::strtod(text.c_str(), nullptr)};
}

class Gathering {
public:
    Gathering()
    {
        for (const auto& list : all_counters())
            for (const CounterInfo& info : list)
                infos_.push_back(&info);
        samples_.resize(infos_.size());
    }

    void add(const process::ProcessCounters& of, const Counter& counter, bool ended)
    {
        const std::string_view whole = counter.name();
        const auto brace = std::min(whole.find('{'), whole.size());
        const auto found = find(whole.substr(0, brace));
        if (!found)
            return;                        // of another version, whose process outlived the update
        if (brace < whole.size() && !handoff::labels_as_other(whole.substr(brace)))
            return;                        // of a process that is somebody else's by now: it would write lines of its own
        const CounterInfo& info = *infos_[found->metric];
        if (ended && info.kind == CounterInfo::Kind::gauge)
            return;
        std::string labels = line_labels(of.service(), of.program());
        if (brace < whole.size())
            labels.replace(labels.size() - 1, 1, "," + std::string(whole.substr(brace + 1)));
        Sample sample{metric_name(info) + std::string(found->suffix), std::move(labels)};
        sample.of_time = info.unit == CounterInfo::Unit::microseconds && found->suffix != "_bucket" && found->suffix != "_count";
        std::vector<Sample>& list = samples_[found->metric];
        auto [entry, fresh] = places_.try_emplace(sample.name + sample.labels, list.size());
        if (fresh)
            list.push_back(std::move(sample));
        std::int64_t& value = list[entry->second].value;
        value = info.together == CounterInfo::Together::largest ? std::max(value, counter.value()) : handoff::sum(value, counter.value());
    }

    /// At the end: the series are in order afterwards.
    std::string text()
    {
        std::string out;
        for (std::size_t at = 0; at < infos_.size(); ++at) {
            if (samples_[at].empty())
                continue;
            const CounterInfo& info = *infos_[at];
            static constexpr std::string_view types[] = {"counter", "gauge", "histogram"};
            const std::string name = metric_name(info);
            out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, info.help, name, types[static_cast<std::size_t>(info.kind)]);
            if (info.kind == CounterInfo::Kind::histogram)
                std::ranges::sort(samples_[at], {}, place_in_histogram);
            for (const Sample& sample : samples_[at])
                out += sample.of_time ? fmt::format("{}{} {}\n", sample.name, sample.labels, static_cast<double>(sample.value) / 1e6)
                                      : fmt::format("{}{} {}\n", sample.name, sample.labels, sample.value);
        }
        return out;
    }

private:
    std::optional<Found> find(std::string_view name) const
    {
        for (std::size_t at = 0; at < infos_.size(); ++at) {
            const CounterInfo& info = *infos_[at];
            if (!name.starts_with(info.name))
                continue;
            const std::string_view suffix = name.substr(info.name.size());
            const bool histogram = info.kind == CounterInfo::Kind::histogram;
            for (const std::string_view known : {std::string_view("_bucket"), std::string_view("_sum"), std::string_view("_count")})
                if (histogram && suffix == known)
                    return Found{at, known};
            if (suffix.empty() && !histogram)
                return Found{at, {}};
        }
        return {};
    }

    std::vector<const CounterInfo*> infos_;
    std::vector<std::vector<Sample>> samples_;                 // by metric
    std::map<std::string, std::size_t, std::less<>> places_;   // in samples_ of its metric, by series
};

}  // namespace

std::span<const std::span<const CounterInfo>> all_counters()
{
    static constexpr std::span<const CounterInfo> lists[] = {process::counters, services::counters, own_counters};
    return lists;
}

std::string metric_name(const CounterInfo& info)
{
    static constexpr std::string_view units[] = {"", "_seconds", "_bytes"};
    return fmt::format("posthorn_{}{}{}", info.metric.empty() ? info.name : info.metric, units[static_cast<std::size_t>(info.unit)],
                       info.kind == CounterInfo::Kind::total ? "_total" : "");
}

std::string metrics_text(const process::InstanceCounters& counters, std::string_view version)
{
    Gathering gathering;
    std::map<std::pair<std::string, std::string>, std::pair<unsigned, unsigned>> processes;      // of a line: all, those that did not answer
    for (const process::ProcessCounters& one : counters.processes()) {
        auto& [all, silent] = processes[{one.service(), one.program()}];
        ++all;
        silent += one.counters().empty() ? 1 : 0;
        for (const Counter& counter : one.counters())
            gathering.add(one, counter, false);
    }
    for (const process::ProcessCounters& one : counters.ended())
        for (const Counter& counter : one.counters())
            gathering.add(one, counter, true);
    const handoff::CounterLabel version_label[] = {{"version", version}};
    std::string out = fmt::format("# HELP posthorn_info The version that runs.\n# TYPE posthorn_info gauge\nposthorn_info{} 1\n",
                                  handoff::labels_text(version_label));
    const auto of_lines = [&](std::string_view name, std::string_view help, auto value) {
        out += fmt::format("# HELP {} {}\n# TYPE {} gauge\n", name, help, name);
        for (const auto& [line, numbers] : processes) {
            out += fmt::format("{}{} {}\n", name, line_labels(line.first, line.second), value(numbers));
        }
    };
    of_lines("posthorn_processes", "Processes of a line of master.cf.", [](const auto& numbers) { return numbers.first; });
    of_lines("posthorn_processes_silent", "Of those, how many did not answer.", [](const auto& numbers) { return numbers.second; });
    return out + gathering.text();
}

std::int64_t sum_of(const process::InstanceCounters& counters, std::string_view name)
{
    std::int64_t all = 0;
    const bool gauge = is_gauge(name);
    for (const auto* list : {&counters.processes(), &counters.ended()})
        for (const process::ProcessCounters& one : *list)
            for (const Counter& counter : one.counters())
                if (counter.name() == name && (!gauge || list == &counters.processes()))
                    all = handoff::sum(all, counter.value());
    return all;
}

std::string counters_json(const process::InstanceCounters& counters)
{
    std::string out;
    for (const auto* list : {&counters.processes(), &counters.ended()})
        for (const process::ProcessCounters& one : *list) {
            std::string values;
            for (const Counter& counter : one.counters()) {
                if (list == &counters.ended() && is_gauge(counter.name()))
                    continue;
                values += fmt::format("{}{{\"name\": {}, \"value\": {}}}", values.empty() ? "" : ", ", json_text(counter.name()), counter.value());
            }
            out += fmt::format("{}{{\"service\": {}, \"program\": {}, \"process\": {}, \"generation\": {}, \"counters\": [{}]}}",
                               out.empty() ? "" : ", ", json_text(one.service()), json_text(one.program()),
                               one.process() == 0 ? "null" : std::to_string(one.process()), one.generation(), values);
        }
    return fmt::format("{{\"processes\": [{}]}}\n", out);
}

}  // namespace posthorn::admin
