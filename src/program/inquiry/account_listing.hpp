// inquiry/account_listing.hpp: accounts that hand mail in (accounts/book.hpp), as text and JSON; and what operators order about one, by commands and over HTTP.
// Errors   what is wrong with a word, status 5.5.4; nothing is asked then.
#pragma once

#include "base/error.hpp"
#include "handoff/frames.pb.h"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace posthorn::inquiry {

/// hold, refuse, allow, resume (neither, and what was noticed is over), forget.
inline constexpr std::string_view account_verbs[] = {"hold", "refuse", "allow", "resume", "forget"};

/// `account`: "login:bob@example.com", "uid:33". An account is allowed everything for a day where no time is named.
Result<handoff::QueueCommand> account_command(std::string_view verb, std::string_view account, const std::optional<std::string>& lasts,
                                              const std::optional<std::string>& reason, std::string by);
/// All, or the one that is named.
handoff::QueueCommand account_question(std::string account);

/// What a user of this machine is called; empty: nobody has the number. Who asks looks it up: not every process may read the password file.
using UserName = std::function<std::string(std::uint32_t uid)>;

/// A heading and a line for each; the busiest first.
std::string account_table(std::span<const handoff::Account* const> accounts, const UserName& user_name = {});
/// All that is known of it, in several lines.
std::string account_details(const handoff::Account& account, const UserName& user_name = {});
/// "on hold since 2026-11-29 10:00:00 by root: REASON"; empty: nothing was ordered, and nothing is strange.
std::string account_state(const handoff::Account& account);
/// One object. "user": of "uid:33" its name; null where there is none, or it was not looked up.
std::string account_json(const handoff::Account& account, const UserName& user_name = {});

}  // namespace posthorn::inquiry
