// net/proxy_header.hpp: what a load balancer says before the client's first octet: the PROXY protocol, versions 1 and 2.
// Shape    1: "PROXY TCP4 192.0.2.1 192.0.2.2 4711 25" CRLF, at most 107 octets. 2: 12 octets of signature, version and command, family,
//          length, addresses, then what nobody here needs.
// Owns     its values. Trust: of those who may connect; all is checked. `local`: the balancer speaks for itself (LOCAL, UNKNOWN).
#pragma once

#include "net/address.hpp"

#include <optional>
#include <string_view>

namespace posthorn::net {

struct ProxyHeader {
    bool local = false;
    IpAddress client, server;
    std::uint16_t client_port = 0, server_port = 0;
    std::size_t octets = 0;                  // it took
};

struct ProxyParsed {
    enum class State : std::uint8_t { more, bad, done } state = State::more;
    ProxyHeader header;
    std::string_view problem;                // of bad
};

/// `more`: the octets are the beginning of one.
ProxyParsed parse_proxy_header(std::string_view octets);

/// Octets that the longest one taken has.
inline constexpr std::size_t proxy_header_limit = 536;

}  // namespace posthorn::net
