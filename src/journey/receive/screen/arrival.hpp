// receive/screen/arrival.hpp: a client that may be heard, as the gate hands it to the session.
#pragma once

#include "net/proxy_header.hpp"
#include "net/stream.hpp"

#include <memory>
#include <optional>
#include <string>

namespace posthorn::receive::screen {

struct Arrival {
    explicit Arrival(std::unique_ptr<net::Stream> with) : stream(std::move(with)) {}
    std::unique_ptr<net::Stream> stream;          // none: it was sent away
    std::string early;                            // what it said before it was asked
    std::optional<net::ProxyHeader> proxied;      // who it is, as the balancer before it says
};

}  // namespace posthorn::receive::screen
