// tls/make_certificate.hpp: keys and certificates made here: a private instance's own (posthorn init), and those of tests.
// Shape    PEM. Serial numbers are random; validity begins an hour ago, for clocks that are slow.
#pragma once

#include "base/error.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tls {

enum class KeyKind { rsa2048, p256, ed25519 };

struct Pem {
    std::string certificate, key;
    /// As *_tls_chain_files want it: key, certificate.
    std::string chain() const { return key + certificate; }
};

struct CertificateWish {
    CertificateWish() = default;
    explicit CertificateWish(std::string common_name) : cn(std::move(common_name)), dns_names{cn} {}
    std::string cn;
    std::vector<std::string> dns_names;
    KeyKind key = KeyKind::p256;
    std::chrono::seconds lifetime{std::chrono::hours(24 * 365)};
    bool authority = false;
    std::string purposes;                                             // "serverAuth", "clientAuth,serverAuth"; empty: any
    std::string private_key;                                          // PEM; empty: a new one of `key`'s kind
};

/// Self-signed, or by `issuer`. Throws where OpenSSL cannot.
Pem make_certificate(const CertificateWish& wish, const Pem* issuer = nullptr);

/// A new private key as PEM: "rsa" with the number of bits, "ecdsa" with a curve's name. Error: OpenSSL's reason.
Result<std::string> make_private_key(std::string_view algorithm, const std::string& bits);
/// The request (PKCS #10, PEM) that an authority signs; for these DNS names, the first one the host's.
Result<std::string> certificate_request(const std::string& private_key, const std::vector<std::string>& dns_names);
/// "rsa", "ecdsa" (or OpenSSL's own name) of a PEM private key. Error: there is none in it.
Result<std::string> key_algorithm(const std::string& private_key);
/// SHA-256 of the public key in lower-case hexadecimal, as a TLSA record "3 1 1" has it.                         RFC 6698 2.1
Result<std::string> public_key_digest(const std::string& private_key);
/// Whether the first certificate is of this key. Error: no certificate, or no key.
Result<bool> certificate_fits(const std::string& certificate, const std::string& private_key);

}  // namespace posthorn::tls
