// supervisor/sockets.hpp: the listening sockets, one per line of master.cf and address, shared by all processes of the line
// (with one socket per process a process that ends resets the connections that waited in its own).
// Reload keeps a socket whose place is still asked for, so that no connection is refused meanwhile.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"
#include "config/snapshot.hpp"
#include "net/address.hpp"
#include "supervisor/layout.hpp"
#include "supervisor/process_table.hpp"

#include <map>
#include <string>
#include <vector>

namespace posthorn::supervisor {

/// Where an inet line listens: "smtp", "25", "host:port", "[::1]:port"; without a host at inet_interfaces, in the families of
/// inet_protocols. Asks the system's service names and host names. Errors in the words of the line.
Result<std::vector<net::Endpoint>> inet_endpoints(std::string_view line_name, std::string_view inet_interfaces, std::string_view inet_protocols);

struct BoundSocket {
    std::string place;             // text of its endpoint, or path in the queue directory
    config::Transport type = config::Transport::inet;
    Fd socket;
};

class Sockets {
public:
    /// Binds what is new for this line and returns all of its sockets' places. `inet_*` as the line's own options have them.
    Result<std::vector<std::string>> bind(const SocketLine& line, const config::Snapshot& snapshot, const Identity& owner);
    /// Closes what is not among `places`, and removes closed Unix sockets from the folder.
    void keep_only(const std::vector<std::string>& places);
    const BoundSocket& at(const std::string& place) const { return *bound_.at(place); }

private:
    std::map<std::string, std::shared_ptr<BoundSocket>> bound_;
};

}  // namespace posthorn::supervisor
