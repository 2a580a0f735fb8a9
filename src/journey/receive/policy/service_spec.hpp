// policy/service_spec.hpp: which policy server, and how it is asked.                              SMTPD_POLICY_README
// Shape    "inet:host:port", "unix:path" (also "local:path"; a relative path is one below the queue directory), or with settings of
//          its own "{ inet:host:port, timeout = 10s, { default_action = 451 4.3.5 Not now } }": what main.cf says for all, without the
//          prefix smtpd_policy_service_.
// Errors   name the piece that is wrong.
#pragma once

#include "base/error.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::receive::policy {

/// What smtpd_policy_service_* says for all, and a service for itself.
struct ServiceLimits {
    std::chrono::seconds timeout{100};        // to connect, to write, to read
    std::chrono::seconds max_idle{300};       // an unused connection is closed then
    std::chrono::seconds max_ttl{1000};       // any connection
    std::chrono::seconds retry_delay{1};
    std::uint32_t try_limit = 2;
    std::uint32_t request_limit = 0;          // requests of a connection; 0: any number
    std::string default_action = std::string(last_resort);
    std::string context;

    static constexpr std::string_view last_resort = "451 4.3.5 Server configuration problem";
};

struct ServiceSpec {
    std::string name;                         // "inet:host:port", for logs about results
    std::string endpoint;                     // without the kind, for logs about connections
    bool is_unix = false;
    std::string path;                         // of a Unix socket
    std::string host;                         // an address or a name
    std::uint16_t port = 0;
    ServiceLimits limits;
};

Result<ServiceSpec> parse_service(std::string_view text, const ServiceLimits& defaults = {});

}  // namespace posthorn::receive::policy
