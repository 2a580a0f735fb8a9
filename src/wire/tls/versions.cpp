#include "tls/versions.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>

#include <memory>
#include <utility>

namespace posthorn::tls {

std::string compile_version() { return OPENSSL_VERSION_TEXT; }

std::string run_version() { return ::OpenSSL_version(OPENSSL_VERSION); }

std::vector<std::string> public_key_algorithms()
{
    std::vector<std::string> names;
    for (const auto& [name, of_library] : {std::pair{"dsa", "DSA"}, {"ecdsa", "EC"}, {"rsa", "RSA"}})
        if (const std::unique_ptr<EVP_PKEY_CTX, decltype(&::EVP_PKEY_CTX_free)> context{::EVP_PKEY_CTX_new_from_name(nullptr, of_library, nullptr),
                                                                                        ::EVP_PKEY_CTX_free})
            names.emplace_back(name);
    return names;
}

}  // namespace posthorn::tls
