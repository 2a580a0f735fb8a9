// exim/ratelimit.hpp: the condition ratelimit of an ACL, where account_limit_maps can say the same.                 Exim specification: ratelimit
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::exim {

/// "100 / 1h / per_rcpt / strict / $authenticated_id" as "recipients=100/h". None: it is of something else than logins, or of another time than an hour or a day.
std::optional<std::string> ratelimit_of_logins(std::string_view rate);

}  // namespace posthorn::exim
