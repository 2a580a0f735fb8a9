#include "calendar/window.hpp"

#include <unicode/timezone.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

namespace posthorn::calendar {

namespace {

using std::chrono::days;
using std::chrono::seconds;
using Moment = std::chrono::sys_seconds;
using Local = std::chrono::local_seconds;

/// A week, and one more for a window that lies in an hour which is left out once.
constexpr days searched{16};

std::unique_ptr<icu::TimeZone> made(std::string_view name)
{
    const auto id = icu::UnicodeString::fromUTF8(icu::StringPiece(name.data(), static_cast<std::int32_t>(name.size())));
    UErrorCode status = U_ZERO_ERROR;
    UBool known = 0;
    icu::UnicodeString canonical;
    icu::TimeZone::getCanonicalID(id, canonical, known, status);
    if (U_FAILURE(status) || known == 0)                          // "GMT+3:30" is ICU's own
        return nullptr;
    return std::unique_ptr<icu::TimeZone>(icu::TimeZone::createTimeZone(id));
}

/// Made once in each thread: there are some six hundred names.
const icu::TimeZone& zone_of(const std::string& name)
{
    thread_local std::map<std::string, std::unique_ptr<icu::TimeZone>, std::less<>> zones;
    if (const auto found = zones.find(name); found != zones.end())
        return *found->second;
    auto zone = is_time_zone(name) ? made(name) : nullptr;
    if (!zone)
        return *icu::TimeZone::getGMT();
    return *zones.emplace(name, std::move(zone)).first->second;
}

seconds ahead(const icu::TimeZone& zone, Moment when)
{
    std::int32_t raw = 0, summer = 0;
    UErrorCode status = U_ZERO_ERROR;
    zone.getOffset(static_cast<UDate>(when.time_since_epoch().count()) * 1000, 0, raw, summer, status);
    return U_FAILURE(status) ? seconds{0} : seconds{(raw + summer) / 1000};
}

Local local(const icu::TimeZone& zone, Moment when) { return Local{when.time_since_epoch() + ahead(zone, when)}; }

bool is_of(const Window& window, std::chrono::local_days day) { return (window.days >> (std::chrono::weekday(day).iso_encoding() - 1) & 1) != 0; }

bool shows(const Window& window, Local clock)
{
    const auto day = std::chrono::floor<days>(clock);
    const seconds time = clock - day;
    if (window.start < window.end)
        return is_of(window, day) && time >= window.start && time < window.end;
    return (is_of(window, day) && time >= window.start) || (is_of(window, day - days{1}) && time < window.end);
}

/// The clock is set between the two: when.
Moment jump(const icu::TimeZone& zone, Moment before, Moment after)
{
    const seconds old = ahead(zone, before);
    while (after - before > seconds{1}) {
        const Moment middle = before + (after - before) / 2;
        (ahead(zone, middle) == old ? before : after) = middle;
    }
    return after;
}

}  // namespace

bool is_time_zone(std::string_view name)
{
    // ICU knows "PST" and the like from of old.
    if (name.size() > 64 || (name.size() == 3 && name != "UTC" && name != "GMT") ||
        !std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127; }))
        return false;
    return made(name) != nullptr;
}

bool is_open(const Window& window, WallTime when) { return shows(window, local(zone_of(window.zone), std::chrono::floor<seconds>(when))); }

WallTime next_open(const Window& window, WallTime from)
{
    if (is_open(window, from))
        return from;
    const icu::TimeZone& zone = zone_of(window.zone);
    const Moment least = std::chrono::ceil<seconds>(from);
    const auto today = std::chrono::floor<days>(local(zone, least));
    std::optional<Moment> first;
    const auto consider = [&](Moment when) {
        if (when >= least && (!first || when < *first) && shows(window, local(zone, when)))
            first = when;
    };
    for (auto day = today - days{1}; day <= today + searched; day += days{1}) {
        if (first && *first < Moment{day.time_since_epoch()} - days{2})   // what begins from here on is later, whatever the zone
            break;
        if (!is_of(window, day))
            continue;
        const Moment start{(day + window.start).time_since_epoch()};      // as if the clock there showed UTC
        const seconds before = ahead(zone, start - days{1}), after = ahead(zone, start + days{1});
        consider(start - before);
        consider(start - after);
        if (before != after)
            consider(jump(zone, start - days{1}, start + days{1}));
    }
    return first.value_or(least + searched);                              // no day is named: who asks sees to that there is one
}

}  // namespace posthorn::calendar
