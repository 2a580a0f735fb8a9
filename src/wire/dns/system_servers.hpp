// dns/system_servers.hpp: the name servers of /etc/resolv.conf.                                                resolv.conf(5)
// Read when it changed (looked at once a second at most). A file that is gone, unreadable or names none leaves what was read: it may be in the
// middle of being written. At the start such a file means 127.0.0.1, one that is not there nobody: then the root is where asking begins.
#pragma once

#include "base/clock.hpp"

#include <array>
#include <cstdint>
#include <optional>
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
    const Clock& clock_;
    std::string path_;
    SteadyTime looked_{};
    using Stamp = std::array<std::int64_t, 4>;           // time, size and inode: two writes may have one time
    std::optional<Stamp> changed_;
    std::vector<std::string> list_;
};

}  // namespace posthorn::dns
