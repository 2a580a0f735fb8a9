#include "handoff/counting.hpp"

#include "base/strings.hpp"

#include <algorithm>
#include <limits>

namespace posthorn::handoff {

namespace {

void add(CountersReply& into, std::string name, std::uint64_t value)
{
    CountersReply::Counter& counter = *into.add_counters();
    counter.set_name(std::move(name));
    counter.set_value(static_cast<std::int64_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::int64_t>::max())));
}

/// Where the value that begins at `at` ends: its closing quote; none: it does not.
std::optional<std::size_t> end_of_value(std::string_view text, std::size_t at)
{
    for (; at < text.size() && text[at] != '"'; ++at)
        if (text[at] == '\\' && (++at == text.size() || (text[at] != '\\' && text[at] != '"' && text[at] != 'n')))
            return {};
    return at < text.size() ? std::optional(at) : std::nullopt;
}

std::string unescaped(std::string_view value)
{
    std::string text;
    for (std::size_t at = 0; at < value.size(); ++at)
        text += value[at] != '\\' ? value[at] : value[++at] == 'n' ? '\n' : value[at];
    return text;
}

}  // namespace

std::int64_t sum(std::int64_t one, std::int64_t other)
{
    std::int64_t result = 0;
    using Range = std::numeric_limits<std::int64_t>;
    return !__builtin_add_overflow(one, other, &result) ? result : one < 0 ? Range::min() : Range::max();
}

std::string labels_text(std::span<const CounterLabel> labels)
{
    std::string text;
    for (const auto& [name, value] : labels) {
        text += (text.empty() ? "{" : ",") + std::string(name) + "=\"";
        for (const std::string_view line : split_exact(value, '\n')) {
            text += line.data() == value.data() ? "" : "\\n";
            for (const char c : printable(line, true)) {
                if (c == '\\' || c == '"')
                    text += '\\';
                text += c;
            }
        }
        text += '"';
    }
    return text.empty() ? text : text + "}";
}

std::optional<std::vector<std::pair<std::string, std::string>>> parse_labels(std::string_view labels)
{
    if (!labels.starts_with('{') || printable(labels, true) != labels)
        return {};
    std::vector<std::pair<std::string, std::string>> parsed;
    for (std::size_t at = 1;;) {
        const std::size_t name = at;
        while (at < labels.size() && ((labels[at] >= 'a' && labels[at] <= 'z') || labels[at] == '_'))
            ++at;
        if (at == name || !labels.substr(at).starts_with("=\""))
            return {};
        const auto end = end_of_value(labels, at + 2);
        if (!end)
            return {};
        parsed.emplace_back(labels.substr(name, at - name), unescaped(labels.substr(at + 2, *end - at - 2)));
        at = *end + 1;
        if (labels.substr(at) == "}")
            return parsed;
        if (!labels.substr(at).starts_with(','))
            return {};
        ++at;
    }
}

std::optional<std::string> labels_as_other(std::string_view labels)
{
    const auto parsed = parse_labels(labels);
    if (!parsed)
        return {};
    std::vector<CounterLabel> other;
    for (const auto& [name, value] : *parsed)
        other.emplace_back(name, name == "le" ? std::string_view(value) : "other");
    return labels_text(other);
}

std::string counter_name(const observe::CounterInfo& info, std::initializer_list<CounterLabel> labels)
{
    return std::string(info.name) + labels_text({labels.begin(), labels.size()});
}

void count(CountersReply& into, const observe::CounterInfo& info, std::uint64_t value, std::span<const CounterLabel> labels)
{
    add(into, std::string(info.name) + labels_text(labels), value);
}

void count(CountersReply& into, const observe::CounterInfo& info, const observe::Histogram& histogram, std::initializer_list<CounterLabel> labels)
{
    const std::string name(info.name), own = labels_text({labels.begin(), labels.size()});
    std::vector<CounterLabel> of_range(labels);
    of_range.emplace_back("le", "");
    for (std::size_t at = 0; at <= observe::Histogram::ends.size(); ++at) {
        of_range.back().second = at < observe::Histogram::ends.size() ? observe::Histogram::ends[at] : "+Inf";
        add(into, name + "_bucket" + labels_text(of_range), histogram.up_to(at));
    }
    add(into, name + "_sum" + own, static_cast<std::uint64_t>(histogram.sum().count()));
    add(into, name + "_count" + own, histogram.count());
}

}  // namespace posthorn::handoff
