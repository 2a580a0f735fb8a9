// tables/network.hpp: addresses and networks as numbers.               RFC 4632, 4291
// Shape    "192.0.2.1", "192.0.2.0/24", "2001:db8::1", "[2001:db8::]/32" (brackets are allowed around IPv6).
// Errors   Postfix's words: bad address pattern, bad mask value, bad mask length, non-null host address bits.
#pragma once

#include "base/error.hpp"

#include <optional>
#include <string_view>

namespace posthorn::tables {

__extension__ using Bits = unsigned __int128;

struct Address {
    bool v6 = false;
    Bits bits = 0;                // IPv4: the low 32
};

struct Network {
    bool v6 = false;
    Bits first = 0, last = 0;
    bool contains(const Address& address) const { return address.v6 == v6 && address.bits >= first && address.bits <= last; }
};

std::optional<Address> parse_address(std::string_view text);
Result<Network> parse_network(std::string_view text);

}  // namespace posthorn::tables
