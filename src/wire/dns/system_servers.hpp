// dns/system_servers.hpp: the name servers of /etc/resolv.conf.                                                resolv.conf(5)
// Read when it changed (looked at once a second at most). A file that is gone, unreadable or names none leaves what was read: it may be in the
// middle of being written. At the start such a file means 127.0.0.1, one that is not there nobody: then the root is where asking begins.
#pragma once

#include "base/clock.hpp"
#include "dns/watched_file.hpp"

#include <string>
#include <vector>

namespace posthorn::dns {

class SystemServers {
public:
    SystemServers(const Clock& clock, std::string path);
    /// Looks at the file. True: other servers than before.
    bool refresh();
    /// "192.0.2.53", "fe80::1%eth0", "127.0.0.1@5353", in the file's order.
    const std::vector<std::string>& list() const { return list_; }

private:
    WatchedFile file_;
    std::vector<std::string> list_;
};

}  // namespace posthorn::dns
