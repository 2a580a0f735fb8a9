// net/connect.hpp: a connection to one endpoint, tcp or unix.
// Errors   Postfix's words, "connect to NAME[ADDR]:PORT: Connection timed out", are made by the caller, who knows the name:
//          the Error's text is the errno's ("Connection refused"), its status 4.4.1.
#pragma once

#include "net/stream.hpp"

#include <chrono>
#include <memory>
#include <optional>

namespace posthorn::net {

struct ConnectOptions {
    ConnectOptions() = default;
    explicit ConnectOptions(std::chrono::milliseconds how_long) : limit(how_long) {}
    /// Zero: as long as the kernel tries.
    std::chrono::milliseconds limit{30'000};
    /// smtp_bind_address: the source address; another family than the endpoint's is ignored.
    std::optional<IpAddress> bind = std::nullopt;
    /// smtp_bind_address_enforce: a failed bind is an error; without it the kernel chooses the source.
    bool bind_enforced = false;
    /// The largest TCP segment that is sent (TCP_MAXSEG), without options; 0: as the path takes them.
    int segment = 0;
};

awaitable<Result<std::unique_ptr<Stream>>> connect(Executor executor, Endpoint endpoint, ConnectOptions options = {});

}  // namespace posthorn::net
