#include "config/units.hpp"

#include <charconv>

#include "base/strings.hpp"

namespace posthorn::config {

std::optional<Unit> unit_of(char letter)
{
    switch (ascii_lower(letter)) {
    case 's': return Unit::seconds;
    case 'm': return Unit::minutes;
    case 'h': return Unit::hours;
    case 'd': return Unit::days;
    case 'w': return Unit::weeks;
    default: return std::nullopt;
    }
}

std::int64_t seconds_in(Unit unit)
{
    switch (unit) {
    case Unit::minutes: return 60;
    case Unit::hours: return 3600;
    case Unit::days: return 86400;
    case Unit::weeks: return 7 * 86400;
    case Unit::seconds:
    case Unit::of_default: break;
    }
    return 1;
}

std::optional<std::int64_t> parse_integer(std::string_view text)
{
    while (!text.empty() && is_space(text.front()))
        text.remove_prefix(1);
    if (text.starts_with('+') && text.size() > 1 && is_digit(text[1]))
        text.remove_prefix(1);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

namespace {
/// Where the first letter behind the number stands.
std::size_t letter_of_unit(std::string_view text)
{
    const std::size_t digits = text.find_first_of("0123456789");
    return digits == text.npos ? text.npos : text.find_first_not_of("0123456789", digits);
}
}  // namespace

std::optional<std::chrono::seconds> parse_time(std::string_view text, Unit unit)
{
    // The first letter decides and what follows it is not read: "10min", and "5mh" where a default adds an "h" to what somebody wrote.
    if (const std::size_t letter = letter_of_unit(text); letter != text.npos) {
        const auto written = unit_of(text[letter]);
        if (!written)
            return std::nullopt;
        unit = *written;
        text = text.substr(0, letter);
    }
    const auto count = parse_integer(text);
    std::int64_t seconds = 0;
    if (!count || __builtin_mul_overflow(*count, seconds_in(unit), &seconds))
        return std::nullopt;
    return std::chrono::seconds{seconds};
}

std::optional<std::chrono::seconds> parse_whole_time(std::string_view text, Unit unit)
{
    const std::size_t letter = letter_of_unit(text);
    return letter != text.npos && letter + 1 != text.size() ? std::nullopt : parse_time(text, unit);
}

}  // namespace posthorn::config
