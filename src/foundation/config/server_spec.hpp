// config/server_spec.hpp: a server that a list names, with settings of its own:
//   inet:host:port        unix:path        { inet:host:port, timeout=10s, default_action = DUNNO }        { unix:path, { name = value with spaces } }
// Errors   name the word that is wrong. What kinds of places and which settings there are is for who asks.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posthorn::config {

struct ServerSpec {
    std::string name;  // "inet:host:port"
    std::vector<std::pair<std::string, std::string>> settings;  // in their order
};
Result<ServerSpec> parse_server_spec(std::string_view text);

/// A number, or a name: those of mail are known (postconf(5), known_tcp_ports), all others are looked up in services(5).
std::optional<std::uint16_t> tcp_port(std::string_view text);

}  // namespace posthorn::config
