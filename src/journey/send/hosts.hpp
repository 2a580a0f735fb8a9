// send/hosts.hpp: from the text of a next hop to the hosts to try, in order.          RFC 5321 5.1, RFC 7505, RFC 2782
#pragma once

#include "send/nexthop.hpp"
#include "send/surroundings.hpp"
#include "send/verdict.hpp"

#include <optional>
#include <random>
#include <string>
#include <vector>

namespace posthorn::send {

struct Hosts {
    Hosts() = default;
    std::vector<Host> list;
    /// The MX set: the names of all hosts of the destination, tried or not; at most 255 octets.
    std::string set;
    /// Why the list is empty.
    Reason reason;
};

/// Whether this next hop is looked up by its SRV records: use_srv_lookup names the service that its port is.
bool by_srv(const Destination& destination, const Options& options);

/// Asks the name service. The fallback relays, if any, come behind the destination's own hosts.
awaitable<Hosts> find_hosts(std::string next_hop, const Options* options, const Surroundings* around, std::mt19937_64* random);

}  // namespace posthorn::send
