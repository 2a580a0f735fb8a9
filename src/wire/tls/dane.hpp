// tls/dane.hpp: what a chain is held against in place of authorities: TLSA records, and trust anchors of files.      RFC 6698, 7671, 7672
// Usage     2 (DANE-TA): a certificate or key of the chain above the server's own; the name counts. 3 (DANE-EE): the server's own certificate
//           or key; neither its name nor its dates count (RFC 7672 3.1.1). 0 and 1 are none for SMTP (RFC 7672 3.1.3).
// Digests   of several that match the same thing only the strongest counts (RFC 7671 9).
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tls {

struct TlsaRecord {
    TlsaRecord() = default;
    TlsaRecord(std::uint8_t what_for, std::uint8_t what, std::uint8_t how, std::string octets)
        : usage(what_for), selector(what), matching(how), data(std::move(octets))
    {
    }
    std::uint8_t usage = 0, selector = 0, matching = 0;
    std::string data;
    bool operator==(const TlsaRecord&) const = default;
};

struct DaneDigest {
    std::string name;
    std::uint8_t matching = 0;
};
/// tls_dane_digests: "sha512 sha256", or "name=N" for others; the preferred first. Error: `invalid tls_dane_digests: "..."`.
Result<std::vector<DaneDigest>> parse_dane_digests(std::string_view text);

/// The certificates and public keys of a PEM file as anchors: "2 0 0" and "2 1 0" with all of their octets. Errors name the file.
Result<std::vector<TlsaRecord>> trust_anchors(const std::string& pem, const std::string& path);

}  // namespace posthorn::tls
