// tls/digest.hpp: hashes, keyed hashes and random octets, for who proves to know a password.    RFC 1321, 2104, 6234, 8018 5.2
// Trust    none of these hides anything by itself; md5 and sha1 are here for mechanisms that ask for them (CRAM-MD5, SCRAM-SHA-1).
// Errors   what OpenSSL refuses (a policy without MD5, no random octets) throws std::runtime_error with its reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::tls {

enum class Digest : std::uint8_t { md5, sha1, sha256 };

/// Octets, not hex.
std::string digest(Digest kind, std::string_view octets);
std::string hmac(Digest kind, std::string_view key, std::string_view octets);
/// As long as the digest. About 0.5 µs of CPU a round: who lets a stranger choose `rounds` sets a limit and leaves the loop's thread.
std::string pbkdf2(Digest kind, std::string_view password, std::string_view salt, std::uint32_t rounds);
/// From the system, fit for nonces and keys.
std::string random_octets(std::size_t count);
/// Takes as long whether or not they are the same.
bool same_octets(std::string_view a, std::string_view b);

}  // namespace posthorn::tls
