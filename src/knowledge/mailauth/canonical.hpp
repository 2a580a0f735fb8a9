// mailauth/canonical.hpp: what of a message is hashed: its fields and its body in canonical form.            RFC 6376 3.4
// Shape    content as it is stored: lines end with CRLF; an octet CR or LF by itself is an octet like others.
// Trust    none. Memory: a field is copied; of the body what add() is given, once.
#pragma once

#include "tls/signing_key.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::mailauth {

enum class Canonical : std::uint8_t { simple, relaxed };

/// `field` from its name to its line end, which may be missing; what is hashed has none.
std::string canonical_field(std::string_view field, Canonical how);

/// The body, piece by piece.
class BodyHash {
public:
    explicit BodyHash(Canonical how) : how_(how) {}
    void add(std::string_view octets);
    /// 32 octets. Once.
    std::string finish();

private:
    void put(char octet);

    Canonical how_;
    tls::Sha256 hash_;
    std::string ready_;                 // canonical, not hashed yet
    std::size_t line_ends_ = 0;         // not put yet: at the end of the body all but one go
    bool blank_ = false;                // white space that becomes a space where something follows in its line
    bool cr_ = false;
    bool empty_ = true;
};

}  // namespace posthorn::mailauth
