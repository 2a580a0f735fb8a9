// sim/tls_server.hpp: TLS for peers, with a certificate made at start.
#pragma once

#include "sim/engine.hpp"

#include <string>

namespace posthorn::sim {

/// What Settings.tls does: a handshake as `host`, self-signed. Throws where OpenSSL cannot.
std::function<awaitable<Result<std::unique_ptr<net::Stream>>>(std::unique_ptr<net::Stream>)> tls_server(std::string host);

}  // namespace posthorn::sim
