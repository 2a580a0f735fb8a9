#include "base/timestamp.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn {

namespace {

/// `count` digits at the front, taken off.
std::optional<int> take_digits(std::string_view& text, std::size_t count)
{
    if (text.size() < count || !std::ranges::all_of(text.substr(0, count), is_digit))
        return std::nullopt;
    int number = 0;
    for (const char digit : text.substr(0, count))
        number = number * 10 + (digit - '0');
    text.remove_prefix(count);
    return number;
}

bool take_one_of(std::string_view& text, std::string_view characters)
{
    if (text.empty() || characters.find(text.front()) == characters.npos)
        return false;
    text.remove_prefix(1);
    return true;
}

/// Digits behind a point, as microseconds.
std::optional<std::chrono::microseconds> take_fraction(std::string_view& text)
{
    if (!take_one_of(text, "."))
        return std::chrono::microseconds{0};
    std::int64_t fraction = 0, unit = 100'000;
    if (text.empty() || !is_digit(text.front()))
        return std::nullopt;
    for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1), unit /= 10)
        fraction += (text.front() - '0') * unit;
    return std::chrono::microseconds{fraction};
}

/// "Z", "+01:00": how far local time is ahead.
std::optional<std::chrono::minutes> take_offset(std::string_view& text)
{
    if (take_one_of(text, "Zz"))
        return std::chrono::minutes{0};
    const bool behind = text.starts_with('-');
    if (!take_one_of(text, "+-"))
        return std::nullopt;
    const auto hours = take_digits(text, 2);
    if (!hours || *hours > 23 || !take_one_of(text, ":"))
        return std::nullopt;
    const auto minutes = take_digits(text, 2);
    if (!minutes || *minutes > 59)
        return std::nullopt;
    return std::chrono::minutes{(behind ? -1 : 1) * (*hours * 60 + *minutes)};
}

struct Parts {
    std::chrono::year_month_day date{};
    std::chrono::hh_mm_ss<std::chrono::seconds> time{};
};

Parts parts_of(WallTime when)
{
    const auto day = std::chrono::floor<std::chrono::days>(when);
    return {std::chrono::year_month_day(day), std::chrono::hh_mm_ss(std::chrono::floor<std::chrono::seconds>(when - day))};
}

}  // namespace

std::optional<WallTime> parse_timestamp(std::string_view text)
{
    const auto year = take_digits(text, 4);
    if (!year || !take_one_of(text, "-"))
        return std::nullopt;
    const auto month = take_digits(text, 2);
    if (!month || !take_one_of(text, "-"))
        return std::nullopt;
    const auto day = take_digits(text, 2);
    if (!day || !take_one_of(text, "Tt "))
        return std::nullopt;
    const auto hour = take_digits(text, 2);
    if (!hour || *hour > 23 || !take_one_of(text, ":"))
        return std::nullopt;
    const auto minute = take_digits(text, 2);
    if (!minute || *minute > 59 || !take_one_of(text, ":"))
        return std::nullopt;
    const auto second = take_digits(text, 2);
    if (!second || *second > 60)
        return std::nullopt;
    const auto fraction = take_fraction(text);
    if (!fraction)
        return std::nullopt;
    const auto offset = take_offset(text);
    const std::chrono::year_month_day date(std::chrono::year{*year}, std::chrono::month{static_cast<unsigned>(*month)},
                                           std::chrono::day{static_cast<unsigned>(*day)});
    if (!offset || !text.empty() || !date.ok() || *year < 1970)
        return std::nullopt;
    const WallTime when =
        std::chrono::sys_days(date) + std::chrono::hours{*hour} + std::chrono::minutes{*minute} + std::chrono::seconds{*second} + *fraction - *offset;
    if (when < WallTime{})
        return std::nullopt;
    return when;
}

std::string timestamp(WallTime when)
{
    const Parts parts = parts_of(when);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(parts.date.year()), static_cast<unsigned>(parts.date.month()),
                       static_cast<unsigned>(parts.date.day()), parts.time.hours().count(), parts.time.minutes().count(),
                       parts.time.seconds().count());
}

std::string minute_text(WallTime when)
{
    const Parts parts = parts_of(when);
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", static_cast<int>(parts.date.year()), static_cast<unsigned>(parts.date.month()),
                       static_cast<unsigned>(parts.date.day()), parts.time.hours().count(), parts.time.minutes().count());
}

}  // namespace posthorn
