// mailauth/signature.hpp: the words of DKIM's field and of ARC's, and what is signed of a header.              RFC 6376 3.5, 3.7, 5.4, RFC 8617 4.1
// Shape    `head`: the fields of a message, to its empty line or beyond. Fields that are made end with CRLF.
// Pure. Trust: of `head` none; the rest is the administrator's.
#pragma once

#include "mailauth/canonical.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

struct Signature {
    std::size_t instance = 0;                       // i= of an ARC-Message-Signature; 0: it is a DKIM-Signature
    std::string domain, selector;                   // d= and s=
    tls::SigningKey::Kind algorithm = tls::SigningKey::Kind::rsa;
    Canonical header = Canonical::relaxed, body = Canonical::relaxed;
    std::chrono::sys_seconds made_at;               // t=
    std::chrono::seconds valid_for{0};              // to x=; 0: for ever
    std::string body_hash;                          // 32 octets
    std::vector<std::string> fields;                // h=, as fields_to_sign() gives them
};

/// Names for h=, in lower case: each of `wanted` as often as the header has it, each of `more` once beyond that, so that none can be added
/// unnoticed (RFC 6376 5.4.2, 8.15).
std::vector<std::string> fields_to_sign(std::string_view head, const std::vector<std::string>& wanted, const std::vector<std::string>& more);

/// The field with an empty b=, folded, without its line end.
std::string unsigned_field(const Signature& signature);

/// The ARC-Seal field of the same set, with an empty b=; `status`: cv=.
std::string unsigned_seal(const Signature& signature, std::string_view status);

/// What is signed: the fields of h= from the bottom of the header to its top, and the field itself.
std::string octets_to_sign(std::string_view head, const Signature& signature, std::string_view unsigned_field);

/// The whole field.
std::string signed_field(std::string unsigned_field, std::string_view signature_octets);

}  // namespace posthorn::mailauth
