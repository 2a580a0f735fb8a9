// tls/facts.hpp: what a handshake came to, and Postfix's log line for it.
// Trust    absent: the peer showed no certificate; untrusted: it does not lead to a trust anchor (`why`); trusted: it does; verified:
//          and it bears one of the names asked for.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tls {

struct Shown;

enum class Role { client, server };
enum class Trust { absent, untrusted, trusted, verified };

/// Who signed the handshake: "RSA-PSS" with bits, "ECDSA" with its curve, "Ed25519" alone. TLS 1.3 only.
struct Signature {
    std::string name, curve, digest;
    int bits = 0;
};

/// One of the chain the peer sent, for who wants to look at it.
struct PeerCertificate {
    PeerCertificate() = default;
    std::string subject, issuer;                                      // "/O=Org/CN=name"
    std::string certificate_fingerprint, key_fingerprint, pem;
};

struct Facts {
    Role role = Role::client;
    std::string protocol, cipher;                                     // "TLSv1.3", "TLS_AES_256_GCM_SHA384"
    int bits_used = 0, bits_of_algorithm = 0;
    std::string key_exchange, key_exchange_curve;                     // "X25519"; "ECDHE" with "P-256"; "DHE" with bits
    int key_exchange_bits = 0;
    Signature server_signature, client_signature;
    bool resumed = false;
    Trust trust = Trust::absent;
    std::string why;                                                  // of untrusted; or that no name fits
    std::string sni;                                                  // what was asked for; of a server, where it has a chain of that name's own
    std::string peer_cn, issuer_cn, issuer_organization;
    WallTime issued{}, expires{};  // the peer's certificate; never: it has none, or says it in no way of RFC 5280
    std::string certificate_fingerprint, key_fingerprint;  // "AA:BB:..."
    std::vector<std::string> peer_names;  // DNS-IDs
    std::string matched_name;
    std::shared_ptr<const Shown> shown;  // where ConnectOptions::keep_shown asks for it
    std::vector<PeerCertificate> chain;  // where Options::keep_chain asks for it; the leaf first
};

/// "Untrusted TLS connection established to H[A]:P: TLSv1.3 with cipher C (256/256 bits) key-exchange X25519 server-signature
/// RSA-PSS (2048 bits) server-digest SHA256". `peer` is "name[addr]:port" (client) or "name[addr]" (server); `reused` is for a warm
/// connection taken from the cache, not for resumption.
std::string summary(const Facts& facts, std::string_view peer, bool reused = false);
/// "certificate verification failed for H[A]:P: REASON"; empty where it did not fail.
std::string trouble(const Facts& facts, std::string_view peer);

/// A handshake that failed, in Postfix's words: "SSL_accept error from NAME[ADDR]: lost connection" (Connection timed out, -1 for
/// what OpenSSL refused), and the warnings that belong behind it: "TLS library problem: error:0A00010B:SSL routines::...".
struct HandshakeLines {
    HandshakeLines() = default;
    std::string info;
    std::vector<std::string> warnings;
};
HandshakeLines handshake_failed(Role role, std::string_view peer, const Error& error);

}  // namespace posthorn::tls
