// config/units.hpp: time and size text.                                              postconf(5)
// Shape    time: digits and one unit s m h d w ("300s"); without a unit, the parameter's own (that of its default).
//          size: digits only. Negative numbers are read (a range check refuses them with the right message).
// Errors   none here: nothing where the text is not exactly one such value or does not fit.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::config {

enum class Unit : std::uint8_t { of_default, seconds, minutes, hours, days, weeks };

/// A number of octets; a type of its own so that nobody adds it to seconds.
struct Octets {
    std::int64_t count = 0;
    friend constexpr auto operator<=>(Octets, Octets) = default;
};

/// The unit a letter stands for: s m h d w, in either case.
std::optional<Unit> unit_of(char letter);
std::int64_t seconds_in(Unit unit);

/// Decimal with an optional sign, white space around it tolerated as sscanf does in front; nothing after it.
std::optional<std::int64_t> parse_integer(std::string_view text);
/// The letter behind the number is the unit, and what follows it is not read, as with Postfix: "10min" is ten minutes.
std::optional<std::chrono::seconds> parse_time(std::string_view text, Unit unit);
/// The same with nothing behind the letter, for words of our own: who says "1h30m" does not mean an hour.
std::optional<std::chrono::seconds> parse_whole_time(std::string_view text, Unit unit);

}  // namespace posthorn::config
