#include "accounts/limits.hpp"

#include "accounts/params.hpp"
#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace posthorn::accounts {

namespace {

Result<Over> over_word(std::string_view word)
{
    if (word == "defer")
        return Over::defer;
    if (word == "hold")
        return Over::hold;
    if (word == "reject")
        return Over::reject;
    return Error{fmt::format("\"{}\" is none of defer, hold, reject", word)};
}

/// "200/h"
Result<Limit> limit_of(bool recipients, std::string_view value)
{
    const std::size_t slash = value.find('/');
    const std::string_view window = slash == value.npos ? std::string_view() : value.substr(slash + 1);
    const auto number = parse_number(value.substr(0, slash));
    if (!number ||
#ifndef POSTHORN_PLANT_BUG_account_words  // a limit is taken modulo 2^32 (scripts/fuzz-planted)
        *number > std::numeric_limits<std::uint32_t>::max() ||
#endif
        (window != "h" && window != "d"))
        return Error{fmt::format("\"{}\" is no NUMBER/h or NUMBER/d", value)};
    return Limit{.recipients = recipients, .day = window == "d", .most = static_cast<std::uint32_t>(*number)};
}

}  // namespace

std::string Limit::text() const
{
    return fmt::format("{} {}{} within {}", most, recipients ? "recipient" : "message", most == 1 ? "" : "s", day ? "a day" : "an hour");
}

Result<Limits> Limits::parse(std::string_view words, Watch watch)
{
    Limits made;
    made.watch = watch;
    for (const std::string_view word : split(words, " \t\r\n,")) {
        const std::size_t equals = word.find('=');
        const std::string_view name = word.substr(0, equals), value = equals == word.npos ? std::string_view() : word.substr(equals + 1);
        const auto about = [&](const Error& wrong) { return Error{fmt::format("{}: {}", name, wrong.text())}; };
        if (name == "recipients" || name == "messages") {
            auto limit = limit_of(name == "recipients", value);
            if (!limit)
                return about(limit.error());
            made.all.push_back(*limit);
        } else if (name == "over") {
            const auto over = over_word(value);
            if (!over)
                return about(over.error());
            made.over = *over;
        } else if (name == "watch") {
            const auto wanted = std::ranges::find(config::words<Watch>, value, &config::Word<Watch>::text);
            if (wanted == config::words<Watch>.end())
                return about(Error{fmt::format("\"{}\" is none of no, warn, hold", value)});
            made.watch = wanted->value;
        } else {
            return Error{fmt::format("\"{}\": none of recipients=NUMBER/h, messages=NUMBER/h (or /d), over=, watch=", word)};
        }
    }
    return made;
}

}  // namespace posthorn::accounts
