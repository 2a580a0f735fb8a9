// tls/make_certificate.hpp: keys and certificates made here: a private instance's own (posthorn init), and those of tests.
// Shape    PEM. Serial numbers are random; validity begins an hour ago, for clocks that are slow.
#pragma once

#include <chrono>
#include <string>
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
};

/// Self-signed, or by `issuer`. Throws where OpenSSL cannot.
Pem make_certificate(const CertificateWish& wish, const Pem* issuer = nullptr);

}  // namespace posthorn::tls
