// Rules of retry: when mail is tried again, and how long.                                                      Exim's specification, 32
#include "base/strings.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace posthorn::exim {
namespace {

/// "1h30m" in seconds.                                                                                          Exim's specification, 6.16
std::optional<std::uint64_t> seconds_of(std::string_view text)
{
    std::uint64_t all = 0;
    text = trim(text);
    if (text.empty())
        return {};
    while (!text.empty()) {
        std::size_t end = 0;
        while (end < text.size() && is_digit(text[end]))
            ++end;
        const auto number = parse_number(text.substr(0, end));
        if (!number || end == text.size() || *number > 10'000'000)
            return {};
        static constexpr std::pair<char, std::uint64_t> units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
        const auto unit = std::ranges::find(units, text[end], &std::pair<char, std::uint64_t>::first);
        if (unit == std::end(units))
            return {};
        all += *number * unit->second;
        text = text.substr(end + 1);
    }
    return all;
}

std::string shown_time(std::uint64_t seconds)
{
    for (const auto& [length, unit] : {std::pair<std::uint64_t, char>{86400, 'd'}, {3600, 'h'}, {60, 'm'}})
        if (seconds > 0 && seconds % length == 0)
            return fmt::format("{}{}", seconds / length, unit);
    return fmt::format("{}s", seconds);
}

/// Seconds; all zero: one try alone.
struct Backoff {
    std::uint64_t least = 0, most = 0, life = 0;
};
std::optional<Backoff> backoff_of(std::string_view times)
{
    Backoff result;
    if (trim(times).empty())
        return result;
    for (const std::string_view rule : split(times, ";")) {
        const auto parts = split(rule, ", \t");
        if (parts.size() < 3 || parts[0].size() != 1 || !std::string_view("FGH").contains(parts[0][0]))
            return {};
        const auto until = seconds_of(parts[1]), interval = seconds_of(parts[2]);
        if (!until || !interval)
            return {};
        if (result.least == 0)
            result.least = *interval;
        result.most = std::max(result.most, *interval);
        result.life = *until;
    }
    return result.least == 0 ? std::nullopt : std::optional(result);
}

/// The pattern of a rule of retry as a key of retry_schedule_maps; empty: none is the same.
std::string schedule_key(std::string_view pattern)
{
    const std::size_t at = pattern.rfind('@');
    const std::string_view local = at == pattern.npos ? "*" : pattern.substr(0, at), domain = at == pattern.npos ? pattern : pattern.substr(at + 1);
    const bool below = domain.starts_with("*.");
    const std::string_view name = below ? domain.substr(2) : domain;
    const auto named = [](char letter) { return is_alnum(letter) || letter == '-' || letter == '_'; };
    if (name.empty() || name.starts_with('.') || name.ends_with('.') ||
        !std::ranges::all_of(name, [&](char one) { return one == '.' || named(one); }))
        return {};
    if (local == "*")
        return to_lower(below ? domain.substr(1) : domain);
    const bool plain = !below && !local.empty() && std::ranges::all_of(local, [&](char one) { return one == '.' || one == '+' || named(one); });
    return plain ? to_lower(pattern) : std::string();
}

/// What the rules say, as they are read: by key of retry_schedule_maps, "*" what main.cf will say.
class Schedules {
public:
    using Words = std::vector<std::pair<std::string, std::string>>;

    /// An earlier rule is about all that this one is about.
    bool covered(std::string_view key, bool bounces) const { return has(of_all_, key) || (bounces && has(of_bounces_, key)); }
    void add(const std::string& key, bool bounces, const Backoff& times)
    {
        Words& words = words_[key];
        if (!bounces && times.least != 0) {
            words.emplace_back("minimal_backoff_time", shown_time(times.least));
            words.emplace_back("maximal_backoff_time", shown_time(times.most));
        }
        if (!bounces)
            words.emplace_back("maximal_queue_lifetime", shown_time(times.life));
        if (bounces || !has(of_bounces_, key))
            words.emplace_back("bounce_queue_lifetime", shown_time(times.life));
        (bounces ? of_bounces_ : of_all_).insert(key);
    }
    /// All words of a key, or those of mail from <> alone.
    std::string words(const std::string& key, bool bounces) const
    {
        std::string text;
        for (const auto& [name, value] : words_.at(key))
            if (!bounces || name == "bounce_queue_lifetime")
                text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, value);
        return text;
    }
    Words general() const { return words_.contains("*") ? words_.at("*") : Words(); }
    std::string text() const
    {
        std::string text;
        for (const auto& [key, unused] : words_)
            if (key != "*")
                text += fmt::format("{} {}\n", key, words(key, false));
        return text;
    }

private:
    /// The key, or one that covers it.
    static bool has(const std::set<std::string, std::less<>>& keys, std::string_view key)
    {
        const std::size_t at = key.find('@');
        const std::string_view domain = at == key.npos ? key : key.substr(at + 1);
        if (keys.contains("*") || keys.contains(key) || keys.contains(domain))
            return true;
        for (std::size_t dot = domain.find('.', 1); dot != domain.npos; dot = domain.find('.', dot + 1))
            if (keys.contains(domain.substr(dot)))
                return true;
        return false;
    }

    std::map<std::string, Words> words_;
    std::set<std::string, std::less<>> of_all_, of_bounces_;    // whose rule was read
};

}  // namespace

std::string as_time(std::string_view text)
{
    const auto seconds = seconds_of(text);
    return seconds ? shown_time(*seconds) : std::string(text);
}

/// The first rule that matches counts in Exim, the one that names most here: what an earlier one covers is left out.
void Translator::retry_rules()
{
    if (!tree_.find("delay_warning"))
        append("delay_warning_time", "24h", "Exim's default");
    Schedules schedules;
    for (const RetryRule& rule : tree_.retry) {
        const std::string statement =
            fmt::format("{} {} {}{}", rule.pattern, rule.error, rule.senders.empty() ? "" : "senders=" + rule.senders + " ", rule.times);
        const auto leave_out = [&](std::string why) { judge(rule.place, "retry", statement, Kind::left_out, std::move(why)); };
        const bool bounces = rule.senders == ":";
        const std::string key = rule.pattern == "*" ? "*" : schedule_key(rule.pattern);
        const auto times = backoff_of(rule.times);
        if (rule.error != "*")
            leave_out("times by error: a server that greylists or asks for a pause gets it without a rule (`posthorn peers`)");
        else if (!rule.senders.empty() && !bounces)
            leave_out("times by sender");
        else if (key.empty())
            leave_out("no domain or address that a key of retry_schedule_maps could be");
        else if (schedules.covered(key, bounces))
            leave_out("a rule before it is about all of these");
        else if (!times)
            leave_out("times that are not known");
        else {
            schedules.add(key, bounces, *times);
            const std::string words = schedules.words(key, bounces);
            judge(rule.place, "retry", statement, Kind::becomes,
                  (key == "*" ? words : fmt::format("retry_schedule_maps: {} {}", key, words)) +
                      (times->least == 0 || bounces ? "" : ": a message waits as long again as it is old, within the two"));
        }
    }
    const auto shorter = [&](const std::string& name, const std::string& value) {         // ignore_bounce_errors_after ends before the rule does
        const Setting* const before = out_.find(name);
        return !before || seconds_of(before->value).value_or(0) > seconds_of(value).value_or(0);
    };
    for (const auto& [name, value] : schedules.general())
        if (name != "bounce_queue_lifetime" || shorter(name, value))
            set(name, value, &tree_.retry.front().place, "begin retry");
    if (const std::string text = schedules.text(); !text.empty())
        set("retry_schedule_maps", add_table("retry_schedule", "texthash", text), &tree_.retry.front().place, "begin retry");
    if (tree_.retry.empty())
        append("maximal_queue_lifetime", "0", "without a retry rule Exim tries once");
    if (const Setting* const life = out_.find("maximal_queue_lifetime");
        life && schedules.general().empty() && shorter("bounce_queue_lifetime", life->value))
        set("bounce_queue_lifetime", life->value, nullptr);
}

}  // namespace posthorn::exim
