// net/path.hpp: how the octets of a TCP connection arrive, as the kernel knows it.          tcp(7) TCP_INFO; RFC 6298 5, RFC 2923 2.1
// Black hole   a path that drops large segments and tells nobody (its ICMP is filtered): what is small passes, so the connection is made and
//              commands are answered, and content is repeated until a time limit ends it.
#pragma once

#include "net/stream.hpp"

#include <cstdint>
#include <optional>

namespace posthorn::net {

/// Octets of a segment that any path carries: 1280 of IPv6 (RFC 8200 5), less its header and that of TCP.
inline constexpr std::uint32_t small_segment = 1220;

struct Path {
    std::uint32_t segment = 0;  // octets of the largest that is sent
    std::uint32_t unacknowledged = 0;  // segments
    std::uint32_t repeated = 0;  // times that the first of them was sent again without an answer
    bool closed_window = false;  // the peer takes nothing, and says so

    /// What is sent is lost, and not for want of a peer that reads. Seven times take 25 seconds at least: Linux begins with 0.2, and doubles (RFC 6298 5.5).
    bool loses_all() const { return unacknowledged != 0 && repeated >= 7 && !closed_window; }
};
/// None: no TCP connection.
std::optional<Path> path_of(const Stream& stream);

}  // namespace posthorn::net
