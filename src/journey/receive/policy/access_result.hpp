// policy/access_result.hpp: the right-hand side of an access table, parsed.                                  access(5)
// Shape    an action word (any case) with optional text, a numeric code 4xx or 5xx with text, all digits (OK), or restrictions.
// Errors   what is none of these is `restrictions`; whoever evaluates it finds the unknown word.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::receive::policy {

struct AccessResult {
    enum class Action : std::uint8_t {
        ok,
        dunno,
        reject,
        defer,
        defer_if_permit,
        defer_if_reject,
        hangup,
        code,
        warn,
        info,
        hold,
        discard,
        redirect,
        bcc,
        prepend,
        filter,
        restrictions,
    };
    Action action = Action::dunno;
    int code = 0;                 // of `code`
    std::string status;           // enhanced code in front of the text, where there is one
    std::string text;             // less code and status; of `restrictions`: all of it
};

/// A status as it can be said of what `title` names: x.1.y is about one of the two addresses, and each has its own.    RFC 3463 3.2
std::string status_about(std::string_view status, std::string_view title);

AccessResult parse_access_result(std::string_view value);

}  // namespace posthorn::receive::policy
