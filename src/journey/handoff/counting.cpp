#include "handoff/counting.hpp"

#include "base/strings.hpp"

namespace posthorn::handoff {

namespace {

void add(CountersReply& into, std::string name, std::uint64_t value)
{
    CountersReply::Counter& counter = *into.add_counters();
    counter.set_name(std::move(name));
    counter.set_value(static_cast<std::int64_t>(value));
}

}  // namespace

std::string labels_text(std::span<const CounterLabel> labels)
{
    std::string text;
    for (const auto& [name, value] : labels) {
        text += (text.empty() ? "{" : ",") + std::string(name) + "=\"";
        for (const char c : printable(value, true)) {
            if (c == '\\' || c == '"')
                text += '\\';
            text += c;
        }
        text += '"';
    }
    return text.empty() ? text : text + "}";
}

std::string counter_name(const observe::CounterInfo& info, std::initializer_list<CounterLabel> labels)
{
    return std::string(info.name) + labels_text({labels.begin(), labels.size()});
}

void count(CountersReply& into, const observe::CounterInfo& info, std::uint64_t value, std::span<const CounterLabel> labels)
{
    add(into, std::string(info.name) + labels_text(labels), value);
}

void count(CountersReply& into, const observe::CounterInfo& info, const observe::Histogram& histogram)
{
    const std::string name(info.name);
    for (std::size_t at = 0; at <= observe::Histogram::ends.size(); ++at) {
        const CounterLabel end{"le", at < observe::Histogram::ends.size() ? observe::Histogram::ends[at] : "+Inf"};
        add(into, name + "_bucket" + labels_text({&end, 1}), histogram.up_to(at));
    }
    add(into, name + "_sum", static_cast<std::uint64_t>(histogram.sum().count()));
    add(into, name + "_count", histogram.count());
}

}  // namespace posthorn::handoff
