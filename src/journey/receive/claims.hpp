// receive/claims.hpp: what XCLIENT and XFORWARD say of a client: NAME=value, in xtext.            XCLIENT_README, XFORWARD_README
// Shape    names in upper case; a value is none where it is [UNAVAILABLE] or [TEMPUNAVAIL]. Addresses are as IpAddress writes them.
// Errors   the reply to say. Trust: of listed clients only; everything is checked, since it goes into logs and header fields.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::receive {

struct Claim {
    std::string name;
    std::optional<std::string> value;       // none: [UNAVAILABLE], or
    bool later = false;                     // [TEMPUNAVAIL]: it could not be found out
    bool operator==(const Claim&) const = default;
};
enum class ClaimKind { xclient, xforward };

/// A wrong argument: the reply ("501 5.5.4 Bad address syntax: x").
std::expected<std::vector<Claim>, std::string> parse_claims(ClaimKind kind, std::string_view arguments);

inline constexpr std::string_view xclient_words = "NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT";
inline constexpr std::string_view xforward_words = "NAME ADDR PROTO HELO SOURCE PORT IDENT";

}  // namespace posthorn::receive
