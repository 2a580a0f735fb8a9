#include "exim/ratelimit.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <span>
#include <vector>

namespace posthorn::exim {

std::optional<std::string> ratelimit_of_logins(std::string_view rate)
{
    std::vector<std::string_view> pieces;
    for (const std::string_view piece : split_exact(rate, '/'))
        pieces.push_back(trim(piece));
    const std::string_view key = pieces.back();
    const bool by_login = key == "$authenticated_id" || key == "${authenticated_id}";
    const auto limit = parse_number(pieces.front());
    if (pieces.size() < 3 || !by_login || !limit)
        return std::nullopt;
    const std::string_view period = pieces[1];
    const bool day = period == "1d" || period == "24h", hour = period == "1h" || period == "60m";
    if (!day && !hour)
        return std::nullopt;
    bool by_recipient = false;
    for (const std::string_view option : std::span(pieces).subspan(2, pieces.size() - 3)) {
        if (option == "per_rcpt" || option == "per_cmd")
            by_recipient = true;
        else if (option != "per_mail" && option != "strict" && option != "leaky")
            return std::nullopt;
    }
    return fmt::format("{}={}/{}", by_recipient ? "recipients" : "messages", *limit, day ? 'd' : 'h');
}

}  // namespace posthorn::exim
