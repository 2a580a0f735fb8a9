// net/params.hpp: which addresses are this machine's.                                         postconf(5): inet_interfaces
#pragma once

#include "config/param.hpp"
#include "config/snapshot.hpp"
#include "net/address.hpp"

#include <array>

namespace posthorn::net {

inline constexpr config::Param<std::string> inet_interfaces{
    .name = "inet_interfaces",
    .initial = "all",
    .doc = "The addresses this machine takes mail at: all, loopback-only, or names and addresses. Mail for [one of them] is for this machine."};
inline constexpr config::Param<std::string> proxy_interfaces{
    .name = "proxy_interfaces",
    .initial = "",
    .doc = "Addresses at which others take mail for this machine (a proxy, address translation); needed to see mail loops."};

inline constexpr std::array<config::ParamInfo, 2> params{inet_interfaces, proxy_interfaces};

/// inet_protocols: "all", "ipv4", "ipv6", "ipv4, ipv6".
Result<Families> parse_families(std::string_view text);

/// The addresses that are ours: those of inet_interfaces that exist in the families of inet_protocols, and proxy_interfaces. Names are
/// asked of the system (blocks: at start). Errors in Postfix's words for start-up.
Result<std::vector<IpAddress>> own_addresses(const config::Snapshot& config);

}  // namespace posthorn::net
