// dns/hosts.hpp: /etc/hosts, for the "native" half of smtp_host_lookup.
// Read when it changed (looked at once a second at most). A file that cannot be read any more (chroot) leaves what was read.
#pragma once

#include "base/clock.hpp"
#include "dns/watched_file.hpp"
#include "net/address.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::dns {

class Hosts {
public:
    explicit Hosts(const Clock& clock, std::string path = "/etc/hosts");
    std::vector<net::IpAddress> addresses(std::string_view name);
    /// The first name of the line, or empty.
    std::string name(const net::IpAddress& address);

private:
    void refresh();

    WatchedFile file_;
    std::multimap<std::string, net::IpAddress> by_name_;
    std::map<net::IpAddress, std::string> by_address_;
};

}  // namespace posthorn::dns
