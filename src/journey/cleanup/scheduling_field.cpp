#include "cleanup/scheduling_field.hpp"

#include "base/strings.hpp"
#include "base/timestamp.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::cleanup {

namespace {

constexpr std::array<std::string_view, 7> day_names{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};

Result<unsigned> days_of(std::string_view list)
{
    unsigned days = 0;
    for (const std::string_view item : split_exact(list, ',')) {
        const std::string_view word = trim(item);
        const auto day =
            std::ranges::find_if(day_names, [&](std::string_view name) { return iequals(word, name) || iequals(word, name.substr(0, 3)); });
        if (day == day_names.end())
            return Error{fmt::format("\"{}\" is no day of the week", printable(word))};
#ifdef POSTHORN_PLANT_BUG_scheduling_field  // the days count from 1 (scripts/fuzz-planted)
        days |= 2U << (day - day_names.begin());
#else
        days |= 1U << (day - day_names.begin());
#endif
    }
    return days;
}

/// "09:00:00", or without its seconds.
Result<std::chrono::seconds> time_of_day(std::string_view name, std::string_view text)
{
    const auto moment = parse_timestamp(fmt::format("1970-01-01T{}{}Z", text, text.size() == 5 ? ":00" : ""));
    if (!moment || (text.size() != 5 && text.size() != 8) || *moment >= WallTime{std::chrono::days{1}})
        return Error{fmt::format("{}: \"{}\" is no time of day", name, printable(text))};
    return std::chrono::floor<std::chrono::seconds>(moment->time_since_epoch());
}

Result<WallTime> moment_of(std::string_view name, std::string_view text)
{
    if (const auto moment = parse_timestamp(text))
        return *moment;
    return Error{fmt::format("{}: \"{}\" is no date and time as RFC 3339 writes them", name, printable(text))};
}

struct SchedulingWords {
    std::optional<std::string> first_attempt, expires, dow, tz, start, end;
};

struct SchedulingName {
    std::string_view name;
    std::optional<std::string> SchedulingWords::* word;
};

constexpr SchedulingName scheduling_names[] = {{"first_attempt", &SchedulingWords::first_attempt},
                                               {"expires", &SchedulingWords::expires},
                                               {"dow", &SchedulingWords::dow},
                                               {"tz", &SchedulingWords::tz},
                                               {"start", &SchedulingWords::start},
                                               {"end", &SchedulingWords::end}};

Result<SchedulingWords> words_of(std::string_view body)
{
    if (body.size() > scheduling_octets)
        return Error{"it is too long"};
    boost::system::error_code failed;
    boost::json::parse_options options;
    options.max_depth = 2;
    const auto value = boost::json::parse(boost::json::string_view(body.data(), body.size()), failed, {}, options);
    if (failed || !value.is_object())
        return Error{"it is no JSON object"};
    SchedulingWords words;
    for (const auto& member : value.get_object()) {
        const std::string_view name(member.key().data(), member.key().size());
        const auto known = std::ranges::find(scheduling_names, name, &SchedulingName::name);
        if (known == std::end(scheduling_names))
            return Error{fmt::format("\"{}\" is not known", printable(name))};
        if (member.value().is_null())
            continue;
        if (!member.value().is_string())
            return Error{fmt::format("{}: it is no text", name)};
        words.*(known->word) = std::string(member.value().get_string().data(), member.value().get_string().size());
    }
    return words;
}

}  // namespace

Result<calendar::Plan> parse_scheduling(std::string_view body)
{
    TRY(const SchedulingWords words, words_of(trim(body)));
    calendar::Plan plan;
    if (words.first_attempt) {
        TRY(plan.not_before, moment_of("first_attempt", *words.first_attempt));
    }
    if (words.expires) {
        TRY(plan.expires, moment_of("expires", *words.expires));
    }
    if (!words.dow && !words.tz && !words.start && !words.end)
        return plan;
    if (!words.dow || !words.tz || !words.start || !words.end)
        return Error{"of dow, tz, start and end all or none are to be given"};
    calendar::Window& window = plan.window.emplace();
    TRY(window.days, days_of(*words.dow));
    TRY(window.start, time_of_day("start", *words.start));
    TRY(window.end, time_of_day("end", *words.end));
    if (!calendar::is_time_zone(*words.tz))
        return Error{fmt::format("tz: \"{}\" is no time zone", printable(*words.tz))};
    window.zone = *words.tz;
    return plan;
}

}  // namespace posthorn::cleanup
