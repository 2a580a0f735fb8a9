// accounts/params.hpp
#pragma once

#include "accounts/limits.hpp"
#include "config/param.hpp"

#include <string>

namespace posthorn::config {
template <>
inline constexpr std::array words<accounts::Watch> = {Word<accounts::Watch>{"no", accounts::Watch::no},
                                                      Word<accounts::Watch>{"warn", accounts::Watch::warn},
                                                      Word<accounts::Watch>{"hold", accounts::Watch::hold}};
}  // namespace posthorn::config

namespace posthorn::accounts {

using config::Param;

inline constexpr Param<Watch> account_watch{
    .name = "account_watch",
    .initial = "warn",
    .doc =
        "What is done where mail of an account (who authenticated, or called sendmail) looks as if it were somebody else's: many times what is usual, from many "
        "networks at once, or much of it refused. warn: the log says so; hold: it is put on hold as well, until an operator says more (posthorn "
        "accounts); no: nothing. Accounts are counted all the same.",
    .own = true};
inline constexpr Param<int> account_watch_recipients{.name = "account_watch_recipients",
                                                     .initial = "200",
                                                     .least = 1,
                                                     .doc = "As many recipients within an hour are never many (account_watch).",
                                                     .own = true};
inline constexpr Param<std::string> account_limit_maps{
    .name = "account_limit_maps",
    .initial = "",
    .doc =
        "Tables with what an account may hand in: asked with the login name, @ and its domain, login:, and with the name of the user who called sendmail, local:. "
        "The first entry counts: words such as recipients=200/h, recipients=2000/d, messages=100/h, over=defer (or hold, reject), watch=no.",
    .own = true};

inline constexpr config::ParamInfo params[] = {account_watch, account_watch_recipients, account_limit_maps};

}  // namespace posthorn::accounts
