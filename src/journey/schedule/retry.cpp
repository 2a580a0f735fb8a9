#include "schedule/retry.hpp"

#include "base/strings.hpp"
#include "schedule/params.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

namespace posthorn::schedule {
namespace {

struct NamedTime {
    const Param<seconds>& param;
    seconds RetryOptions::* member;
};

constexpr NamedTime named_times[] = {{minimal_backoff_time, &RetryOptions::minimal_backoff},
                                     {maximal_backoff_time, &RetryOptions::maximal_backoff},
                                     {maximal_queue_lifetime, &RetryOptions::maximal_lifetime},
                                     {bounce_queue_lifetime, &RetryOptions::bounce_lifetime},
                                     {delay_warning_time, &RetryOptions::delay_warning}};

constexpr seconds longest{8'640'000};                     // where a parameter has no bound, as the lifetimes have

/// The value of one word, in the unit and within the bounds of its parameter.
Result<seconds> time_of(const Param<seconds>& param, std::string_view value)
{
    const auto time = config::parse_whole_time(value, param.unit == config::Unit::of_default ? config::Unit::seconds : param.unit);
    if (!time)
        return Error{fmt::format("{}: \"{}\" is no time", param.name, value)};
    if (*time < param.least)
        return Error{fmt::format("{}: {} is too short", param.name, value)};
    seconds most = param.most == seconds{} ? longest : param.most;
#ifdef POSTHORN_PLANT_BUG_retry_words  // a time of three hundred years is taken (scripts/fuzz-planted)
    most *= 1000;
#endif
    if (*time > most)
        return Error{fmt::format("{}: {} is too long", param.name, value)};
    return *time;
}

}  // namespace

Result<RetryOptions> amended(RetryOptions general, std::string_view words)
{
    constexpr std::string_view between = " \t\r\n,";
    for (;;) {
        words.remove_prefix(std::min(words.find_first_not_of(between), words.size()));
        if (words.empty())
            return general;
        const std::string_view word = words.substr(0, words.find_first_of(between));
        words.remove_prefix(word.size());
        const std::size_t equals = word.find('=');
        const auto named = std::ranges::find(named_times, word.substr(0, equals), [](const NamedTime& one) { return one.param.name; });
        if (equals == word.npos || named == std::end(named_times))
            return Error{fmt::format("\"{}\": none of {}=TIME", word,
                                     fmt::join(named_times | std::views::transform([](const NamedTime& one) { return one.param.name; }), "=TIME, "))};
        TRY(general.*(named->member), time_of(named->param, word.substr(equals + 1)));
    }
}

WallTime next_try(const RetryOptions& options, WallTime arrival, WallTime now)
{
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - arrival);
    // A clock that went back makes the age negative: the lower bound holds. Bounds the wrong way round: the upper one holds.
    return now + std::min(std::max(age, options.minimal_backoff), std::max(options.maximal_backoff, std::chrono::seconds{1}));
}

bool expired(const RetryOptions& options, WallTime arrival, bool null_sender, WallTime now) { return now - arrival >= options.lifetime(null_sender); }

bool delay_warning_due(const RetryOptions& options, WallTime arrival, bool null_sender, bool warned, WallTime now)
{
    return options.delay_warning.count() > 0 && !warned && !null_sender && now - arrival >= options.delay_warning;
}

}  // namespace posthorn::schedule
