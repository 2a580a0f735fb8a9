// config/site.hpp: facts of this host, and the defaults computed from them.
// A value, so that a test says which host it is; `this_host()` asks the system.
// Computed: myhostname, mydomain, mynetworks (mynetworks_style, inet_interfaces, inet_protocols), process_name, process_id,
// config_directory, and the directories an installation chooses.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::config {

struct HostAddress {
    bool ipv6 = false;
    std::array<std::uint8_t, 16> octets{};        // the first 4 for IPv4
    int prefix_length = 32;
    /// "192.0.2.1" or "[2001:db8::1]".
    std::string text() const;
    friend bool operator==(const HostAddress&, const HostAddress&) = default;
};
/// From "192.0.2.1/24" or "2001:db8::1/64"; the length may be absent.
std::optional<HostAddress> parse_host_address(std::string_view text);

struct Site {
    std::string host_name;                        // gethostname(), completed or not
    std::vector<HostAddress> addresses;           // of all interfaces that are up
    bool has_ipv6 = true;                         // whether the system can open an IPv6 socket
    std::string process_name;
    int process_id = 0;
    /// What the installation chose: "queue_directory" -> "/var/spool/posthorn" and so on.
    std::map<std::string, std::string, std::less<>> chosen;
};

/// The defaults of an installation under Debian's paths; an installer may replace single ones.
const std::map<std::string, std::string, std::less<>>& installed_defaults();

Site this_host(std::string_view process_name);

/// Where a computed default asks for other parameters: their expanded value.
using TextOf = std::function<std::string(std::string_view name)>;
/// The computed default of `name`; nothing where it is not computed.
std::optional<std::string> site_default(const Site& site, std::string_view name, std::string_view config_directory, const TextOf& text_of);

}  // namespace posthorn::config
