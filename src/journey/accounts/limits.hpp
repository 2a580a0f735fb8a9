// accounts/limits.hpp: what account_limit_maps says of an account: how much it may hand in, what becomes of more, and whether it is watched.
// Words    NAME=VALUE, separated by blanks or commas: "recipients=200/h, recipients=2000/d, messages=100/h, over=hold, watch=no". /h is the last hour, /d the
//          last day.
// Errors   the word that is wrong, and why.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::accounts {

/// What is beyond a limit: put off (the client comes again, sendmail's mail waits), put on hold, or refused.
enum class Over : std::uint8_t { defer, hold, reject };
/// What is done about an account whose mail looks as if it were somebody else's.
enum class Watch : std::uint8_t { no, warn, hold };

struct Limit {
    bool recipients = false;  // else messages
    bool day = false;  // else hour
    std::uint32_t most = 0;
    std::string text() const;  // "200 recipients within an hour"
};

struct Limits {
    std::vector<Limit> all;
    Over over = Over::defer;
    Watch watch = Watch::no;
    /// `watch`: where the words do not say it.
    static Result<Limits> parse(std::string_view words, Watch watch);
};

}  // namespace posthorn::accounts
