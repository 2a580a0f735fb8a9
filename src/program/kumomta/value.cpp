#include "kumomta/value.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace posthorn::kumomta {

namespace {

std::string number_text(double number)
{
    if (std::abs(number) < 1e15 && number == std::floor(number))
        return fmt::format("{}", static_cast<long long>(number));
    return fmt::format("{}", number);
}

std::string in_full(const Value& value, int level)
{
    std::string text;
    switch (value.kind) {
    case Value::Kind::nothing: return "nil";
    case Value::Kind::boolean: return value.boolean ? "true" : "false";
    case Value::Kind::number: return number_text(value.number);
    case Value::Kind::text: return "'" + printable(value.text, true) + "'";
    case Value::Kind::unknown: return "(" + printable(value.text, true) + ")";
    case Value::Kind::list:
        for (const Value& item : value.items)
            if (text.size() <= 120)
                text += (text.empty() ? "" : ", ") + (level > 4 ? std::string("...") : in_full(item, level + 1));
        return "[" + text + "]";
    case Value::Kind::table:
        for (const Entry& entry : value.entries)
            if (text.size() <= 120)
                text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", printable(entry.name, true),
                                    level > 4 ? "..." : in_full(entry.value, level + 1));
        return "{" + text + "}";
    }
    return text;
}

/// Seconds of a unit of time; 0: there is none of this name.
long long unit_seconds(std::string_view unit)
{
    if (unit == "s" || unit == "sec" || unit == "secs" || unit == "second" || unit == "seconds")
        return 1;
    if (unit == "m" || unit == "min" || unit == "mins" || unit == "minute" || unit == "minutes")
        return 60;
    if (unit == "h" || unit == "hr" || unit == "hrs" || unit == "hour" || unit == "hours")
        return 3600;
    if (unit == "d" || unit == "day" || unit == "days")
        return 86400;
    if (unit == "w" || unit == "week" || unit == "weeks")
        return 604800;
    return 0;
}

std::size_t span_of(std::string_view text, bool (*belongs)(char))
{
    const auto* const end = std::ranges::find_if_not(text, belongs);
    return static_cast<std::size_t>(end - text.begin());
}

}  // namespace

Value Value::of(std::string text, const Place& place)
{
    Value value;
    value.kind = Kind::text;
    value.text = std::move(text);
    value.place = place;
    return value;
}

Value Value::table(const Place& place)
{
    Value value;
    value.kind = Kind::table;
    value.place = place;
    return value;
}

const Value* Value::find(std::string_view name) const
{
    const auto found = std::ranges::find(entries, name, [](const Entry& entry) { return std::string_view(entry.name); });
    return found == entries.end() ? nullptr : &found->value;
}

Value& Value::at(std::string_view name, const Place& where)
{
    if (const Value* const found = find(name))
        return const_cast<Value&>(*found);
    if (kind != Kind::table)
        *this = table(where);
    entries.push_back({std::string(name), table(where)});
    return entries.back().value;
}

void Value::put(std::string_view name, Value value)
{
    const Place where = value.place;
    at(name, where) = std::move(value);
}

std::optional<std::string> Value::word() const
{
    if (kind == Kind::text)
        return text;
    if (kind == Kind::number)
        return number_text(number);
    return {};
}

std::string Value::word_of(std::string_view name) const
{
    const Value* const found = find(name);
    return found ? found->word().value_or("") : "";
}

bool Value::yes(std::string_view name) const
{
    const Value* const found = find(name);
    return found && found->kind == Kind::boolean && found->boolean;
}

std::vector<std::string> Value::words() const
{
    std::vector<std::string> found;
    if (const auto one = word())
        found.push_back(*one);
    for (const Value& item : items)
        if (const auto one = item.word())
            found.push_back(*one);
    return found;
}

std::string Value::shown() const
{
    std::string line = in_full(*this, 0);
    if (line.size() <= 120)
        return line;
    std::size_t end = 117;
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80)
        --end;
    return line.substr(0, end) + "...";
}

bool Value::same_as(const Value& other) const
{
    return kind == other.kind && boolean == other.boolean && number == other.number && text == other.text &&
           std::ranges::equal(items, other.items, [](const Value& a, const Value& b) { return a.same_as(b); }) &&
           entries.size() == other.entries.size() && std::ranges::all_of(entries, [&](const Entry& entry) {
               const Value* const there = other.find(entry.name);
               return there && there->same_as(entry.value);
           });
}

void merge(Value& into, const Value& from)
{
    if (from.kind == Value::Kind::nothing)
        return;
    if (!into.is_table() || !from.is_table()) {
        into = from;
        return;
    }
    for (const Entry& entry : from.entries)
        merge(into.at(entry.name, entry.value.place), entry.value);
}

std::optional<long long> seconds_of(const Value& value)
{
    constexpr double most = 1e10;
    if (value.kind == Value::Kind::number)
        return value.number >= 0 && value.number < most ? std::optional(static_cast<long long>(value.number)) : std::nullopt;
    if (value.kind != Value::Kind::text)
        return {};
    std::string_view rest = trim(value.text);
    long long all = 0;
    if (rest.empty())
        return {};
    while (!rest.empty()) {
        const std::size_t digits = span_of(rest, is_digit);
        const auto number = parse_number(rest.substr(0, digits));
        rest = trim(rest.substr(digits));
        const std::size_t letters = span_of(rest, is_alpha);
        const long long unit = letters == 0 && all == 0 && rest.empty() ? 1 : unit_seconds(rest.substr(0, letters));
        rest = trim(rest.substr(letters));
#ifdef POSTHORN_PLANT_BUG_kumomta_data                                  // a sum that is not looked at (scripts/fuzz-planted)
        if (!number || unit == 0 || static_cast<double>(*number) * static_cast<double>(unit) >= most)
            return {};
#else
        if (!number || unit == 0 || static_cast<double>(*number) * static_cast<double>(unit) + static_cast<double>(all) >= most)
            return {};
#endif
        all += static_cast<long long>(*number) * unit;
    }
    return all;
}

std::string time_text(long long seconds)
{
    for (const auto& [unit, letter] : {std::pair(86400, 'd'), {3600, 'h'}, {60, 'm'}})
        if (seconds > 0 && seconds % unit == 0)
            return fmt::format("{}{}", seconds / unit, letter);
    return fmt::format("{}s", seconds);
}

std::optional<std::string> rate_of(const Value& value)
{
    if (value.kind != Value::Kind::text)
        return {};
    std::string_view text = trim(value.text);
    if (text.starts_with("local:"))
        text.remove_prefix(6);
    const std::size_t slash = text.find('/');
    if (slash == text.npos)
        return {};
    std::string digits(text.substr(0, slash));
    std::erase_if(digits, [](char c) { return c == ',' || c == '_'; });
    const auto number = parse_number(trim(digits));
    const std::string_view period = trim(text.substr(slash + 1));
    const std::size_t count = span_of(period, is_digit);
    const long long each = unit_seconds(trim(period.substr(count)));
    if (!number || *number == 0 || count > 0 || each == 0 || each > 86400)
        return {};
    if (each == 86400)
        return fmt::format("{}/h", std::max<std::uint64_t>(1, *number / 24));
    return fmt::format("{}/{}", *number, each == 1 ? 's' : each == 60 ? 'm' : 'h');
}

}  // namespace posthorn::kumomta
