// sim/tls_server.hpp: TLS for peers, with a certificate made at start.
#pragma once

#include "sim/engine.hpp"

#include <string>

namespace posthorn::sim {

/// A handshake as `host`, self-signed. Throws where OpenSSL cannot.
TlsAccept tls_server(std::string host);

}  // namespace posthorn::sim
