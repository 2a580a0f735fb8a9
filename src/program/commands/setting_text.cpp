#include "commands/setting_text.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "catalogue/catalogue.hpp"
#include "catalogue/unserved.hpp"
#include "config/expand.hpp"
#include "config/known.hpp"
#include "inquiry/peer_listing.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace posthorn::commands {

namespace {

/// Every name that has a default, and every one that is written.
std::set<std::string> all_names(const config::Snapshot& snapshot)
{
    std::set<std::string> names;
    for (const config::KnownParameter& one : config::known_parameters())
        names.emplace(one.name);
    for (const auto list : catalogue::all_parameters())
        for (const config::ParamInfo& one : list)
            if (one.own)
                names.emplace(one.name);
    for (const auto& [name, definition] : snapshot.written())
        names.emplace(name);
    return names;
}

std::vector<std::string> users_of(const config::Snapshot& snapshot, std::string_view wanted)
{
    std::vector<std::string> users;
    for (const std::string& name : all_names(snapshot)) {
        const auto value = snapshot.as_written(name);
        bool uses = false;
        if (value && name != wanted)
            config::names_in(*value, [&](std::string_view named) { uses = uses || named == wanted; });
        if (uses)
            users.push_back(name);
    }
    return users;
}

/// How many letters have to be put in, taken away or changed.
std::size_t distance(std::string_view one, std::string_view other)
{
    std::vector<std::size_t> row(other.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t at = 0; at < one.size(); ++at) {
        std::size_t corner = std::exchange(row[0], at + 1);
        for (std::size_t there = 0; there < other.size(); ++there) {
            const std::size_t changed = corner + (one[at] == other[there] ? 0 : 1);
            corner = row[there + 1];
            row[there + 1] = std::min({changed, corner + 1, row[there] + 1});
        }
    }
    return row.back();
}

std::string or_empty(std::string_view value) { return value.empty() ? "(empty)" : printable(value, true); }

std::string standing_text(const catalogue::About& about)
{
    switch (about.standing) {
    case catalogue::Standing::by_design: return fmt::format("decides nothing: {}", about.text);
    case catalogue::Standing::unserved: return fmt::format("is accepted, and not acted on: {}", about.text);
    case catalogue::Standing::obsolete: return fmt::format("is obsolete; set {}", about.instead);
    default: return {};
    }
}

}  // namespace

std::string Setting::Line::text() const { return fmt::format("{} = {}  ({})", printable(key, true), or_empty(value), printable(place, true)); }

std::optional<Setting> setting(const SettingAsked& asked, const std::string& name)
{
    const config::Snapshot& written = asked.written;
    const config::Definition* const definition = written.definition(name);
    Setting made;
    made.name = name;
    made.initial = written.default_of(name);
    for (const config::ServiceLine& line : asked.master_cf.services)
        for (const config::Assignment& own : line.overrides)
            if (own.name == name)
                made.lines.push_back({line.key(), own.value, fmt::format("{}, line {}", asked.master_cf.path, own.line)});
    made.used_by = users_of(written, name);
    if (!definition && !made.initial && made.lines.empty() && made.used_by.empty())
        return {};
    made.value = definition ? definition->value : made.initial.value_or("");
    if (definition)
        made.place = definition->place();
    if (made.value.find('$') != std::string::npos) {
        const auto comes_to = written.expand(made.value);
        made.expanded = comes_to ? *comes_to : comes_to.error().what();
    }
    if (made.initial) {
        const catalogue::About about = catalogue::about(name);
        made.here = standing_text(about);
        if (about.standing != catalogue::Standing::by_design && about.standing != catalogue::Standing::unserved)
            made.says = about.text;
    }
    if (asked.in_force != nullptr) {
        const auto running = asked.in_force->snapshot.as_written(name);
        if (running.value_or("") != made.value || running.has_value() != (definition || made.initial))
            made.in_force = running.value_or("");
    }
    return made;
}

std::vector<std::string> names_like(const config::Snapshot& written, std::string_view name)
{
    std::vector<std::pair<std::size_t, std::string>> found;
    for (const std::string& one : all_names(written)) {
        const std::size_t far = distance(one, name);
        if (far <= std::max<std::size_t>(2, name.size() / 5))
            found.emplace_back(far, one);
        else if (name.size() > 3 && one.find(name) != std::string::npos)
            found.emplace_back(far + name.size(), one);
    }
    std::ranges::sort(found);
    std::vector<std::string> names;
    for (auto& [far, one] : found)
        if (names.size() < 5)
            names.push_back(std::move(one));
    return names;
}

std::string setting_text(const Setting& setting, const SettingAsked& asked)
{
    std::string text = fmt::format("{} = {}\n", printable(setting.name, true), printable(setting.value, true));
    const auto say = [&](std::string_view what, std::string_view words) { text += fmt::format("    {:<11} {}\n", what, words); };
    say("written", setting.place.empty() ? "nowhere: the default" : printable(setting.place, true));
    if (!setting.initial)
        say("default", "none: a name of your own");
    else if (!setting.place.empty())
        say("default", or_empty(*setting.initial));
    if (!setting.expanded.empty() || setting.value.find('$') != std::string::npos)
        say("comes to", or_empty(setting.expanded));
    for (const Setting::Line& line : setting.lines)
        say("line", line.text());
    if (!setting.used_by.empty())
        say("used by", fmt::format("{}", fmt::join(setting.used_by, ", ")));
    if (!setting.says.empty())
        say("says", setting.says);
    if (!setting.here.empty())
        say("here", setting.here);
    if (asked.in_force == nullptr)
        say("in force", asked.trouble);
    else if (setting.in_force)
        say("in force", fmt::format("{}, since {}: `postfix reload` puts in force what is written", or_empty(*setting.in_force),
                                    inquiry::local_time(asked.in_force->since)));
    else
        say("in force", "as written, since " + inquiry::local_time(asked.in_force->since));
    return text;
}

std::string setting_json(const Setting& setting, const SettingAsked& asked)
{
    const auto text_or_null = [](const std::string& value) { return value.empty() ? "null" : json_text(value); };
    std::string lines, users;
    for (const Setting::Line& line : setting.lines)
        lines += fmt::format("{}{{\"line\": {}, \"value\": {}, \"place\": {}}}", lines.empty() ? "" : ", ", json_text(line.key),
                             json_text(line.value), json_text(line.place));
    for (const std::string& user : setting.used_by)
        users += (users.empty() ? "" : ", ") + json_text(user);
    const std::string running = asked.in_force == nullptr ? "null" : json_text(setting.in_force.value_or(setting.value));
    return fmt::format(
        "{{\"name\": {}, \"value\": {}, \"comes_to\": {}, \"place\": {}, \"default\": {}, \"lines\": [{}], \"used_by\": [{}], \"says\": {}, \"here\": {}, "
        "\"in_force\": {}}}",
        json_text(setting.name), json_text(setting.value), setting.value.find('$') == std::string::npos ? "null" : json_text(setting.expanded),
        text_or_null(setting.place), setting.initial ? json_text(*setting.initial) : "null", lines, users, text_or_null(setting.says),
        text_or_null(setting.here), running);
}

}  // namespace posthorn::commands
