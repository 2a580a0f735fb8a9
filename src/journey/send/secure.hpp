// send/secure.hpp: what send asks of TLS. wire/tls answers in the service, a test's own in tests.
#pragma once

#include "base/clock.hpp"
#include "net/stream.hpp"
#include "send/tls_demand.hpp"
#include "send/tls_report.hpp"
#include "tls/second_look.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::send {

struct Secured {
    Secured(std::unique_ptr<net::Stream> wrapped, std::string what, std::string came_to = {})
        : stream(std::move(wrapped)), summary(std::move(what)), facts(std::move(came_to))
    {
    }
    std::unique_ptr<net::Stream> stream;
    /// "Trusted TLS connection established to H[A]:25: TLSv1.3 with cipher ...": logged as it is where not empty.
    std::string summary;
    /// For records: "TLSv1.3", "TLS_AES_256_GCM_SHA384"; the common name in the server's certificate.
    std::string protocol, cipher, peer_name;
    /// What changes with the server, for peers/: who made its certificate, from when to when it is good (never: there is none), and what came of it:
    /// "verified", "trusted", "untrusted", "no certificate".
    std::string issuer, trust;
    WallTime issued{}, expires{};
    /// The certificate is the one that the level asks for: verify, secure, fingerprint, dane.
    bool verified = false;
    /// The same for a transcript, whatever is logged.
    std::string facts;
    /// At a level that asks for no certificate: why it is none of the names that the demand has all the same. Empty: it is, or there are none.
    std::string unmet;
    /// For reports: it went on with a session of before; what of the certificate is not as the demand has it, and OpenSSL's word for that.
    bool resumed = false;
    std::optional<TlsFault> fault;
    std::string fault_reason;
    /// Where the demand asks for it: what the server has shown.
    std::shared_ptr<const tls::Shown> shown;
    /// It is encrypted, but the peer is not who it has to be: nothing may be said. "Server certificate not verified", 4.7.5.
    std::optional<Error> refused;
    /// Why, for the log.
    std::string trouble;
};

class TlsClient {
public:
    virtual ~TlsClient() = default;
    /// The handshake on `stream`, whose deadline is set. `relay`: "H[A]:25", for texts and the session cache.
    /// Where the level is encrypt or above, the mandatory protocols and ciphers count.
    virtual awaitable<Result<Secured>> secure(std::unique_ptr<net::Stream> stream, TlsDemand demand, std::string relay) = 0;
    /// Of a server that was taken with less: what the handshake had come to with this demand. Nobody is asked.
    virtual tls::SecondLook judge(const tls::Shown& shown, const TlsDemand& demand) = 0;
    /// Those that it can hold a server against.
    virtual std::vector<tls::TlsaRecord> usable(std::vector<tls::TlsaRecord> records) = 0;
    /// Of a file of smtp_tls_trust_anchor_file, or of a policy.
    virtual Result<std::vector<tls::TlsaRecord>> trust_anchors(const std::string& file) = 0;
};

}  // namespace posthorn::send
