#include "inquiry/set_listing.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "inquiry/peer_listing.hpp"
#include "inquiry/queue_listing.hpp"
#include "inquiry/transcripts.hpp"
#include "peers/listing.hpp"
#include "schedule/shape.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace posthorn::inquiry {

using namespace posthorn::peers;

namespace {

constexpr std::size_t sites_shown = 3;

/// What is left of it now, by the rules of the queue manager.
struct Left {
    std::uint32_t ceiling = 0;
    double per_minute = 0;
    WallTime silent_until{}, until{};
    bool any() const { return ceiling != 0 || per_minute != 0 || silent_until != WallTime{}; }
};

Left left_of(const std::optional<Restraint>& restraint, WallTime now)
{
    if (!restraint)
        return {};
    const SteadyTime moment{std::chrono::days{3650}};
    schedule::Shape shape;
    shape.restore(*restraint, moment, now);
    const auto by_wall = [&](SteadyTime time) { return now + std::chrono::floor<std::chrono::microseconds>(time - moment); };
    Left left{.ceiling = shape.ceiling(), .per_minute = shape.per_minute()};
    if (shape.suspended(moment))
        left.silent_until = by_wall(shape.suspended_until());
    left.until = by_wall(shape.recovered_at(moment));
    return left;
}

bool sessions_known(const SetKnown& known, WallTime now) { return known.manners.sessions != 0 && known.manners.sessions_until > now; }
bool greylists(const SetKnown& known, WallTime now) { return known.manners.greylists_until > now; }

std::string waits_of(const Manners& manners)
{
    std::string text;
    if (manners.passed.count() != 0)
        text = fmt::format("{} s passed", manners.passed.count());
    if (manners.refused.count() != 0)
        text += fmt::format("{}{} s did not", text.empty() ? "" : ", ", manners.refused.count());
    return text;
}

/// Each thing that is asked for, in words.
std::vector<std::string> asked(const SetKnown& known, WallTime now)
{
    std::vector<std::string> words;
    const Left left = left_of(known.restraint, now);
    if (left.silent_until != WallTime{})
        words.push_back(fmt::format("nothing is sent until {}, then one delivery at a time", local_time(left.silent_until)));
    else if (left.ceiling != 0)
        words.push_back(fmt::format("at most {} deliveries at once", left.ceiling));
    if (left.silent_until == WallTime{} && left.per_minute != 0)
        words.push_back(fmt::format("{:.0f} mails a minute", left.per_minute));
    if (sessions_known(known, now))
        words.push_back(fmt::format("{} sessions at once are what it lately took", known.manners.sessions));
    if (greylists(known, now)) {
        const std::string waits = waits_of(known.manners);
        words.push_back("it greylists" + (waits.empty() ? std::string() : " (" + waits + ")"));
    }
    return words;
}

}  // namespace

std::vector<SetKnown> sets_of(const StoredShelf::All& all, WallTime now)
{
    std::map<std::string, SetKnown> by_name;
    for (const auto& [name, manners] : all.manners)
        by_name[name].manners = manners;
    for (const auto& [name, restraint] : all.restraints)
        by_name[name].restraint = restraint;
    std::vector<SetKnown> known;
    for (auto& [name, one] : by_name) {
        one.name = name;
        if (left_of(one.restraint, now).any() || sessions_known(one, now) || greylists(one, now))
            known.push_back(std::move(one));
    }
    return known;
}

bool matches(const SetKnown& known, std::string_view word)
{
    const std::string wanted = to_lower(word), name = to_lower(known.name), hosts = name.substr(0, name.find(" from "));
    const auto serves = [&](const std::string& site) { return to_lower(site) == wanted || to_lower(site).ends_with(":" + wanted); };
    return name == wanted || ("," + hosts + ",").find("," + wanted + ",") != std::string::npos ||
           (known.restraint && std::ranges::any_of(known.restraint->sites, serves));
}

std::string set_line(const SetKnown& known, WallTime now)
{
    std::string sites;
    if (known.restraint && !known.restraint->sites.empty()) {
        const std::vector<std::string>& all = known.restraint->sites;
        for (std::size_t at = 0; at < std::min(all.size(), sites_shown); ++at)
            sites += (at == 0 ? "" : ", ") + printable(all[at], true);
        if (all.size() > sites_shown)
            sites += fmt::format(" and {} more", all.size() - sites_shown);
    }
    return fmt::format("{}  {}: {}\n", printable(known.name, true), sites.empty() ? "-" : "serves " + sites, fmt::join(asked(known, now), "; "));
}

std::string set_text(const SetKnown& known, WallTime now)
{
    std::string text = printable(known.name, true) + "\n";
    const auto say = [&](std::string_view name, const std::string& what) { text += fmt::format("  {:<14} {}\n", name, what); };
    const Left left = left_of(known.restraint, now);
    if (const auto& restraint = known.restraint; restraint && left.any()) {
        for (const std::string& site : restraint->sites)
            say("serves", printable(site, true));
        say("asked", printable(restraint->said, true));
        say("", "the last time " + local_time(restraint->last));
        for (const std::string& what : asked({.name = {}, .manners = {}, .restraint = known.restraint}, now))
            say("held back", what);
        say("", "all of it is given back by " + local_time(left.until));
    }
    if (sessions_known(known, now))
        say("sessions",
            fmt::format("{} at once are what it lately took; believed until {}", known.manners.sessions, local_time(known.manners.sessions_until)));
    if (greylists(known, now)) {
        const std::string waits = waits_of(known.manners);
        say("greylists", fmt::format("{}{}believed until {}", waits, waits.empty() ? "" : "; ", local_time(known.manners.greylists_until)));
    }
    return text;
}

std::string set_json(const SetKnown& known, WallTime now)
{
    const Left left = left_of(known.restraint, now);
    std::string sites;
    if (known.restraint)
        for (const std::string& site : known.restraint->sites)
            sites += (sites.empty() ? "" : ", ") + json_text(site);
    return fmt::format(
        R"({{"set": {}, "sites": [{}], "said": {}, "last": {}, "silent_until": {}, "deliveries_at_once": {}, "mails_per_minute": {:.1f}, )"
        R"("given_back": {}, "sessions": {{"number": {}, "until": {}}}, "greylists": {{"until": {}, "passed": {}, "refused": {}}}}})",
        json_text(known.name), sites, known.restraint ? json_text(known.restraint->said) : std::string("null"),
        known.restraint ? json_time(known.restraint->last) : std::string("null"), json_time(left.silent_until), left.ceiling, left.per_minute,
        left.any() ? json_time(left.until) : std::string("null"), sessions_known(known, now) ? known.manners.sessions : 0,
        sessions_known(known, now) ? json_time(known.manners.sessions_until) : std::string("null"),
        greylists(known, now) ? json_time(known.manners.greylists_until) : std::string("null"), known.manners.passed.count(),
        known.manners.refused.count());
}

}  // namespace posthorn::inquiry
