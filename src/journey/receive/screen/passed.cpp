#include "receive/screen/passed.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::receive::screen {

namespace {

constexpr std::size_t all_tests = 2 + deep_tests;

/// In the order of the text.
std::array<WallTime*, all_tests> times_of(Passed& passed)
{
    return {&passed.greet, &passed.lists, &passed.deep[0], &passed.deep[1], &passed.deep[2]};
}

}  // namespace

std::string to_text(const Passed& passed)
{
    std::string text;
    Passed copy = passed;
    for (const WallTime* when : times_of(copy))
        text += fmt::format("{}{}", text.empty() ? "" : ";", std::chrono::floor<std::chrono::seconds>(*when).time_since_epoch().count());
    return text;
}

std::optional<Passed> parse_passed(std::string_view text)
{
    constexpr std::uint64_t latest = 253'402'300'799;       // the end of the year 9999
    Passed passed;
    const auto times = times_of(passed);
    const auto numbers = split_exact(text, ';');
    if (numbers.size() > times.size())
        return std::nullopt;
    for (std::size_t test = 0; test < numbers.size(); ++test) {
        const auto seconds = parse_number(numbers[test]);
        if (!seconds || *seconds > latest)
            return std::nullopt;
        *times[test] = WallTime{std::chrono::seconds{*seconds > 1 ? *seconds : 0}};
    }
    return passed;
}

Passed both(const Passed& one, const Passed& other)
{
    Passed made = one, more = other;
    const auto into = times_of(made), from = times_of(more);
    for (std::size_t test = 0; test < all_tests; ++test)
        *into[test] = std::max(*into[test], *from[test]);
    return made;
}

}  // namespace posthorn::receive::screen
