#include "tls/signing_key.hpp"

#include "tls/core.hpp"
#include "tls/digest.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdexcept>

namespace posthorn::tls {

namespace {

using SignContext = std::unique_ptr<EVP_MD_CTX, FreeBy<EVP_MD_CTX_free>>;
constexpr int least_rsa_bits = 1024;                                       // RFC 8301 3.2

const unsigned char* signed_octets(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* signature_octets(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

}  // namespace

struct SigningKey::Core {
    explicit Core(Key k) : key(std::move(k)) {}
    Key key;
};

SigningKey::SigningKey(std::unique_ptr<Core> core, Kind kind) : core_(std::move(core)), kind_(kind) {}
SigningKey::~SigningKey() = default;
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;

Result<SigningKey> SigningKey::parse(std::string_view pem)
{
    const Bio text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const auto no_password = [](char*, int, int, void*) { return 0; };
    Key key(PEM_read_bio_PrivateKey(text.get(), nullptr, no_password, nullptr));
    if (!key)
        return Error{"no private key: " + openssl_reason()};
    const int type = EVP_PKEY_get_base_id(key.get());
    if (type != EVP_PKEY_RSA && type != EVP_PKEY_ED25519)
        return Error{"not a key of RSA or Ed25519"};
    if (type == EVP_PKEY_RSA && EVP_PKEY_get_bits(key.get()) < least_rsa_bits)
        return Error{"an RSA key of less than 1024 bits"};
    return SigningKey(std::make_unique<Core>(std::move(key)), type == EVP_PKEY_RSA ? Kind::rsa : Kind::ed25519);
}

Result<std::string> SigningKey::sign(std::string_view octets) const
{
    const SignContext context(EVP_MD_CTX_new());
    const bool rsa = kind_ == Kind::rsa;
    const std::string hashed = rsa ? std::string() : digest(Digest::sha256, octets);
    const std::string_view what = rsa ? octets : std::string_view(hashed);
    std::size_t length = 0;
    std::string made;
    if (EVP_DigestSignInit(context.get(), nullptr, rsa ? EVP_sha256() : nullptr, nullptr, core_->key.get()) == 1 &&
        EVP_DigestSign(context.get(), nullptr, &length, signed_octets(what), what.size()) == 1) {
        made.resize(length);
        if (EVP_DigestSign(context.get(), signature_octets(made), &length, signed_octets(what), what.size()) == 1) {
            made.resize(length);
            return made;
        }
    }
    return Error{"cannot sign: " + openssl_reason()};
}

std::string SigningKey::public_key() const
{
    std::string made;
    if (kind_ == Kind::ed25519) {
        std::size_t length = 32;
        made.resize(length);
        if (EVP_PKEY_get_raw_public_key(core_->key.get(), signature_octets(made), &length) != 1)
            throw std::runtime_error("public key: " + openssl_reason());
        return made;
    }
    unsigned char* der = nullptr;
    const int length = i2d_PUBKEY(core_->key.get(), &der);
    if (length <= 0)
        throw std::runtime_error("public key: " + openssl_reason());
    made.assign(reinterpret_cast<const char*>(der), static_cast<std::size_t>(length));
    OPENSSL_free(der);
    return made;
}

struct VerifyingKey::Core {
    explicit Core(Key k) : key(std::move(k)) {}
    Key key;
};

VerifyingKey::VerifyingKey(std::unique_ptr<Core> core, SigningKey::Kind kind) : core_(std::move(core)), kind_(kind) {}
VerifyingKey::~VerifyingKey() = default;
VerifyingKey::VerifyingKey(VerifyingKey&&) noexcept = default;
VerifyingKey& VerifyingKey::operator=(VerifyingKey&&) noexcept = default;

Result<VerifyingKey> VerifyingKey::parse(SigningKey::Kind kind, std::string_view public_key)
{
    const auto length = static_cast<long>(public_key.size());
    const unsigned char* at = signed_octets(public_key);
    Key key;
    if (kind == SigningKey::Kind::ed25519)
        key.reset(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, at, public_key.size()));
    else {
        key.reset(d2i_PUBKEY(nullptr, &at, length));
        if (!key) {
            at = signed_octets(public_key);
            key.reset(d2i_PublicKey(EVP_PKEY_RSA, nullptr, &at, length));
        }
    }
    ERR_clear_error();
    if (!key || (kind == SigningKey::Kind::rsa && EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA))
        return Error{"no public key"};
    return VerifyingKey(std::make_unique<Core>(std::move(key)), kind);
}

int VerifyingKey::bits() const { return EVP_PKEY_get_bits(core_->key.get()); }

bool VerifyingKey::verify(std::string_view octets, std::string_view signature) const
{
    const bool rsa = kind_ == SigningKey::Kind::rsa;
    const std::string hashed = rsa ? std::string() : digest(Digest::sha256, octets);
    const std::string_view what = rsa ? octets : std::string_view(hashed);
    const SignContext context(EVP_MD_CTX_new());
    const bool good = EVP_DigestVerifyInit(context.get(), nullptr, rsa ? EVP_sha256() : nullptr, nullptr, core_->key.get()) == 1 &&
                      EVP_DigestVerify(context.get(), signed_octets(signature), signature.size(), signed_octets(what), what.size()) == 1;
    ERR_clear_error();
    return good;
}

bool is_signed_by(SigningKey::Kind kind, std::string_view public_key, std::string_view octets, std::string_view signature)
{
    const auto key = VerifyingKey::parse(kind, public_key);
    return key && key->verify(octets, signature);
}

struct Sha256::Core {
    SignContext context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : core_(std::make_unique<Core>())
{
    if (EVP_DigestInit_ex(core_->context.get(), EVP_sha256(), nullptr) != 1)
        throw std::runtime_error("digest: " + openssl_reason());
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;

void Sha256::add(std::string_view octets)
{
    if (EVP_DigestUpdate(core_->context.get(), octets.data(), octets.size()) != 1)
        throw std::runtime_error("digest: " + openssl_reason());
}

std::string Sha256::finish()
{
    std::string made(32, '\0');
    if (EVP_DigestFinal_ex(core_->context.get(), signature_octets(made), nullptr) != 1)
        throw std::runtime_error("digest: " + openssl_reason());
    return made;
}

}  // namespace posthorn::tls
