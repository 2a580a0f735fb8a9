#include "tls/digest.hpp"

#include "tls/core.hpp"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <stdexcept>

namespace posthorn::tls {

namespace {

const EVP_MD* method(Digest kind)
{
    switch (kind) {
    case Digest::md5: return EVP_md5();
    case Digest::sha1: return EVP_sha1();
    case Digest::sha256: return EVP_sha256();
    }
    return nullptr;
}

unsigned char* octets_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* octets_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

[[noreturn]] void refused(const char* what) { throw std::runtime_error(std::string(what) + ": " + openssl_reason()); }

}  // namespace

std::string digest(Digest kind, std::string_view octets)
{
    std::string made(EVP_MAX_MD_SIZE, '\0');
    unsigned length = 0;
    if (EVP_Digest(octets.data(), octets.size(), octets_of(made), &length, method(kind), nullptr) != 1)
        refused("digest");
    made.resize(length);
    return made;
}

std::string hmac(Digest kind, std::string_view key, std::string_view octets)
{
    std::string made(EVP_MAX_MD_SIZE, '\0');
    unsigned length = 0;
    if (!HMAC(method(kind), key.data(), static_cast<int>(key.size()), octets_of(octets), octets.size(), octets_of(made), &length))
        refused("hmac");
    made.resize(length);
    return made;
}

std::string pbkdf2(Digest kind, std::string_view password, std::string_view salt, std::uint32_t rounds)
{
    std::string made(static_cast<std::size_t>(EVP_MD_get_size(method(kind))), '\0');
    if (PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), octets_of(salt), static_cast<int>(salt.size()),
                          static_cast<int>(rounds), method(kind), static_cast<int>(made.size()), octets_of(made)) != 1)
        refused("pbkdf2");
    return made;
}

std::string random_octets(std::size_t count)
{
    std::string made(count, '\0');
    if (RAND_bytes(octets_of(made), static_cast<int>(count)) != 1)
        refused("random octets");
    return made;
}

bool same_octets(std::string_view a, std::string_view b) { return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

}  // namespace posthorn::tls
