// tls/signing_key.hpp: a private key that signs octets, the public one that verifies them, a hash that takes them piece by piece.  RFC 6376 3.3, RFC 8463
// Shape    RSA of at least 1024 bits (PKCS #1 v1.5 over SHA-256), or Ed25519 over the SHA-256 of the octets, as RFC 8463 3 has it.
// Errors   parse: what stands there is no such key, or lies under a password; the text is OpenSSL's reason. sign: OpenSSL's refusal.
// Threads  a key may sign on several threads at once.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace posthorn::tls {

class SigningKey {
public:
    enum class Kind : std::uint8_t { rsa, ed25519 };

    /// `pem`: a private key, whatever stands around it.
    static Result<SigningKey> parse(std::string_view pem);
    ~SigningKey();
    SigningKey(SigningKey&&) noexcept;
    SigningKey& operator=(SigningKey&&) noexcept;

    Kind kind() const { return kind_; }
    /// About 1 ms of CPU with RSA of 2048 bits: not for a loop that others wait for.
    Result<std::string> sign(std::string_view octets) const;
    /// What a TXT record has in p=, in octets: SubjectPublicKeyInfo of RSA, the 32 octets of Ed25519.
    std::string public_key() const;

private:
    struct Core;
    explicit SigningKey(std::unique_ptr<Core> core, Kind kind);
    std::unique_ptr<Core> core_;
    Kind kind_;
};

/// A public key of whatever length: whether that is enough is for who asks.
class VerifyingKey {
public:
    /// As SigningKey::public_key() gives it; RSA may also be an RSAPublicKey alone (RFC 8017 A.1.1). An Error: it is no such key.
    static Result<VerifyingKey> parse(SigningKey::Kind kind, std::string_view public_key);
    ~VerifyingKey();
    VerifyingKey(VerifyingKey&&) noexcept;
    VerifyingKey& operator=(VerifyingKey&&) noexcept;

    int bits() const;
    /// Did the owner of the key sign these octets? 50 us with RSA of 2048 bits, milliseconds where whoever made the key wants it so.
    bool verify(std::string_view octets, std::string_view signature) const;

private:
    struct Core;
    explicit VerifyingKey(std::unique_ptr<Core> core, SigningKey::Kind kind);
    std::unique_ptr<Core> core_;
    SigningKey::Kind kind_;
};

/// The same at once.
bool is_signed_by(SigningKey::Kind kind, std::string_view public_key, std::string_view octets, std::string_view signature);

class Sha256 {
public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;

    void add(std::string_view octets);
    /// 32 octets. Once.
    std::string finish();

private:
    struct Core;
    std::unique_ptr<Core> core_;
};

}  // namespace posthorn::tls
