// send/secure.hpp: what send asks of TLS. wire/tls answers in the service, a test's own in tests.
#pragma once

#include "net/stream.hpp"

#include <memory>
#include <string>

namespace posthorn::send {

struct Secured {
    Secured(std::unique_ptr<net::Stream> wrapped, std::string what, std::string came_to = {})
        : stream(std::move(wrapped)), summary(std::move(what)), facts(std::move(came_to))
    {
    }
    std::unique_ptr<net::Stream> stream;
    /// "Trusted TLS connection established to H[A]:25: TLSv1.3 with cipher ...": logged as it is where not empty.
    std::string summary;
    /// The certificate is the one that the level asks for: verify, secure, fingerprint, dane.
    bool verified = false;
    /// The same for a transcript, whatever is logged.
    std::string facts;
};

class TlsClient {
public:
    virtual ~TlsClient() = default;
    /// The handshake on `stream`, whose deadline is set. `host` is the name for SNI and the session cache, `relay` "H[A]:25" for texts.
    /// `mandatory`: the level is encrypt, the mandatory protocols and ciphers count.
    virtual awaitable<Result<Secured>> secure(std::unique_ptr<net::Stream> stream, std::string host, std::string relay, bool mandatory) = 0;
};

}  // namespace posthorn::send
