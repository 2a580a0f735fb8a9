// milter/spec.hpp: which filters, and how they are talked to.                                                      MILTER_README
// Shape    a list of "inet:host:port", "unix:path" (also "local:path"; a relative path is one below the queue directory), and of the same
//          with settings of its own: "{ inet:host:port, connect_timeout = 10s, default_action = accept }".
// Errors   name the piece that is wrong.
#pragma once

#include "base/error.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::milter {

/// What becomes of mail where the filter cannot be asked.
enum class DefaultAction : std::uint8_t { accept, reject, tempfail, quarantine, shutdown };
std::optional<DefaultAction> parse_default_action(std::string_view word);

/// What milter_* says for all, and a filter for itself.
struct Settings {
    std::chrono::seconds connect_timeout{30}, command_timeout{30}, content_timeout{300};
    DefaultAction default_action = DefaultAction::shutdown;
    std::uint32_t version = 6;                // milter_protocol: the version that is offered
    bool mute_header = false;                 // "no_header_reply": the filter answers no single field, although its version could not say so
};
Result<void> parse_protocol(std::string_view text, Settings& into);

struct Spec {
    std::string name;                         // "inet:host:port", for logs
    bool is_unix = false;
    std::string path;                         // of a Unix socket
    std::string host;                         // an address or a name
    std::uint16_t port = 0;
    Settings settings;
};

/// A whole list; empty: there is none.
Result<std::vector<Spec>> parse_milters(std::string_view text, const Settings& defaults);

}  // namespace posthorn::milter
