// mailauth/canonical.hpp: what of a message is hashed: its fields and its body in canonical form.            RFC 6376 3.4
// Shape    content as it is stored: lines end with CRLF; an octet CR or LF by itself is an octet like others.
// Trust    none. Memory: a field is copied; of the body what add() is given, once.
#pragma once

#include "tls/signing_key.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::mailauth {

enum class Canonical : std::uint8_t { simple, relaxed };

/// `field` from its name to its line end, which may be missing; what is hashed has none.
std::string canonical_field(std::string_view field, Canonical how);

/// The body, piece by piece.
class BodyHash {
public:
    /// `most`: of the canonical form so many octets and no more (l=, RFC 6376 3.5); none: all.
    explicit BodyHash(Canonical how, std::optional<std::uint64_t> most = std::nullopt) : how_(how), left_(most.value_or(UINT64_MAX)) {}
    void add(std::string_view octets);
    /// 32 octets. Once.
    std::string finish();
    /// After finish(), of `most`: octets that the body had not.
    std::uint64_t left() const { return left_; }
    /// After finish(): was there more than `most`?
    bool cut() const { return cut_; }

private:
    void put(char octet);
    void hash();

    Canonical how_;
    std::uint64_t left_;
    tls::Sha256 hash_;
    std::string ready_;                 // canonical, not hashed yet
    std::size_t line_ends_ = 0;         // not put yet: at the end of the body all but one go
    bool blank_ = false;                // white space that becomes a space where something follows in its line
    bool cr_ = false;
    bool empty_ = true;
    bool cut_ = false;
};

}  // namespace posthorn::mailauth
