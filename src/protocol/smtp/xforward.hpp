// smtp/xforward.hpp: XFORWARD as its client says it: of whom a message is that others hand on.                        XFORWARD_README
// Shape    "XFORWARD NAME=... ADDR=...", values in xtext, what is not known as [UNAVAILABLE] or not said; only attributes that the server announced, and
//          no command over 512 octets with its line end.
// Owns     its text. Errors: none; a value that no server would take (over 255 octets, control characters), or that has
//          no room in a command, is not known.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::smtp {

/// Empty: not known.
struct Origin {
    std::string name, address;  // address as in "192.0.2.1", "2001:db8::1"
    std::string port, protocol, helo;
    std::string ident;  // the message's name at its former host
    std::string source;  // LOCAL or REMOTE

    bool operator==(const Origin&) const = default;
};

/// The attributes one after the other, in as few commands as there is room; none where nothing was announced.
std::vector<std::string> xforward_commands(const Origin& origin, std::span<const std::string> announced);
/// Only those that are known: of the host in one command, of the message in another.
std::vector<std::string> xforward_known(const Origin& origin, std::span<const std::string> announced);

}  // namespace posthorn::smtp
