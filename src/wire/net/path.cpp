#include "net/path.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace posthorn::net {

std::optional<Path> path_of(const Stream& stream)
{
    tcp_info info{};
    socklen_t size = sizeof info;
    if (stream.native() < 0 || stream.peer().is_unix() || ::getsockopt(stream.native(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return std::nullopt;
    return Path{
        .segment = info.tcpi_snd_mss, .unacknowledged = info.tcpi_unacked, .repeated = info.tcpi_retransmits, .closed_window = info.tcpi_probes != 0};
}

}  // namespace posthorn::net
