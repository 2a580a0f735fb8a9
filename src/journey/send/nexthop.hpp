// send/nexthop.hpp: the text of a next hop, and the order in which hosts are tried.         RFC 5321 5, RFC 7505, RFC 2782
// Text     "example.com", "example.com:25", "[host]", "[host]:port", "[192.0.2.1]", "[IPv6:2001:db8::1]"; for LMTP also "unix:/path" and
//          "inet:host:port"; lists by comma or white space.
// Pure     the name service is asked elsewhere (agent.cpp); here its answers are put in order.
#pragma once

#include "base/error.hpp"
#include "dns/record.hpp"
#include "net/address.hpp"
#include "send/options.hpp"

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::send {

struct Destination {
    std::string text;               // as written, without "inet:" and "unix:"
    std::string name;               // host or domain; of a literal the address
    std::string unix_path;          // LMTP over a Unix socket
    std::uint16_t port = 25;
    std::string service;            // its port as written: a number, a name, or nothing
    bool mx = true;                 // false: [host], or LMTP
    std::optional<net::IpAddress> literal;
};

Result<std::vector<Destination>> parse_nexthop(std::string_view text, std::uint16_t default_port, bool lmtp);

/// One host to talk to.
struct Host {
    std::string name;
    net::Endpoint endpoint;
    std::uint32_t preference = 0;
    // Where it was found, for what TLS policies ask (tls_policy.hpp, tls_demand.hpp).
    std::string next_hop{};         // as the configuration has it
    std::string domain{};           // of it: without brackets and port, in A-labels
    enum class Mx : std::uint8_t { none, insecure, secure } mx = Mx::none;      // of MX or SRV records; their DNSSEC status
    std::string mx_owner{};         // where CNAMEs of the domain led, to the MX records
    bool secure = false;            // DNSSEC vouches for its address
    std::string canonical{};        // where CNAMEs of its name led

    /// "H[A]": as in "host H[A] said". A Unix socket: "H[/path]".
    std::string text() const;
    /// "H[A]:25": as in relay=.
    std::string relay() const;
};

/// By preference; equal ones shuffled and by family as the options say; cut to the address limit with both families kept.
void put_in_order(std::vector<Host>& hosts, const Options& options, std::mt19937_64& random);

/// SRV records in the order to try: by priority; equal ones by chance, each with its weight's share of being next.         RFC 2782
void order_by_weight(std::vector<dns::Record>& records, std::mt19937_64& random);

/// Removes the hosts that are not nearer to the destination than we are: those of the preference of `self` and above. What answers at
/// another port than 25 is another server, and so is what has our name at an address that is not ours (inet_interfaces, proxy_interfaces).
/// False: nothing is left, the mail loops back to us.
bool cut_at_self(std::vector<Host>& hosts, const std::vector<net::IpAddress>& own_addresses);

}  // namespace posthorn::send
