#include "tls/make_certificate.hpp"

#include "base/strings.hpp"
#include "tls/core.hpp"

#include <fmt/format.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <stdexcept>

namespace posthorn::tls {

namespace {

void must(bool good)
{
    if (!good)
        throw std::runtime_error("TLS: cannot make a certificate: " + openssl_reasons());
}

Key make_key(KeyKind kind)
{
    Key key(kind == KeyKind::rsa2048 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048})
            : kind == KeyKind::p256  ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")
                                     : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    must(key != nullptr);
    return key;
}

std::string text_of(BIO* bio)
{
    char* data = nullptr;
    const long length = BIO_get_mem_data(bio, &data);
    return {data, static_cast<std::size_t>(length)};
}

Bio reading(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

/// Null where there is none; a key under a password counts as none.
Key read_key(const std::string& pem)
{
    const auto no_password = [](char*, int, int, void*) { return 0; };
    Key key(PEM_read_bio_PrivateKey(reading(pem).get(), nullptr, no_password, nullptr));
    ERR_clear_error();
    return key;
}

std::string subject_alternatives(const std::vector<std::string>& dns_names)
{
    std::string names;
    for (const std::string& dns_name : dns_names)
        names += (names.empty() ? "DNS:" : ",DNS:") + dns_name;
    return names;
}

std::string pem_of(EVP_PKEY* key)
{
    const Bio text(BIO_new(BIO_s_mem()));
    must(PEM_write_bio_PrivateKey(text.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    return text_of(text.get());
}

void extend(X509* certificate, X509* issuer, int nid, const std::string& value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const std::unique_ptr<X509_EXTENSION, FreeBy<X509_EXTENSION_free>> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    must(extension && X509_add_ext(certificate, extension.get(), -1) == 1);
}

}  // namespace

Pem make_certificate(const CertificateWish& wish, const Pem* issuer)
{
    const Key key = wish.private_key.empty() ? make_key(wish.key) : read_key(wish.private_key);
    must(key != nullptr);
    const X509Ptr certificate(X509_new());
    must(certificate && X509_set_version(certificate.get(), X509_VERSION_3) == 1);
    unsigned char serial[15];
    must(RAND_bytes(serial, sizeof serial) == 1);
    const std::unique_ptr<BIGNUM, FreeBy<BN_free>> number(BN_bin2bn(serial, sizeof serial, nullptr));
    must(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr);
    must(X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600) != nullptr);
    must(X509_gmtime_adj(X509_getm_notAfter(certificate.get()), static_cast<long>(wish.lifetime.count())) != nullptr);
    must(X509_set_pubkey(certificate.get(), key.get()) == 1);
    X509_NAME* name = X509_get_subject_name(certificate.get());
    must(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(wish.cn.data()),
                                    static_cast<int>(wish.cn.size()), -1, 0) == 1);

    X509Ptr signer;
    Key signing_key;
    if (issuer) {
        signer.reset(PEM_read_bio_X509(reading(issuer->certificate).get(), nullptr, nullptr, nullptr));
        signing_key.reset(PEM_read_bio_PrivateKey(reading(issuer->key).get(), nullptr, nullptr, nullptr));
        must(signer && signing_key);
    }
    X509* by = signer ? signer.get() : certificate.get();
    must(X509_set_issuer_name(certificate.get(), X509_get_subject_name(by)) == 1);
    extend(certificate.get(), by, NID_basic_constraints, wish.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(certificate.get(), by, NID_subject_key_identifier, "hash");
    if (!wish.purposes.empty())
        extend(certificate.get(), by, NID_ext_key_usage, wish.purposes);
    if (const std::string names = subject_alternatives(wish.dns_names); !names.empty())
        extend(certificate.get(), by, NID_subject_alt_name, names);
    EVP_PKEY* by_key = signing_key ? signing_key.get() : key.get();
    const bool own_digest = EVP_PKEY_get_base_id(by_key) == EVP_PKEY_ED25519;
    must(X509_sign(certificate.get(), by_key, own_digest ? nullptr : EVP_sha256()) > 0);

    const Bio certificate_text(BIO_new(BIO_s_mem()));
    must(PEM_write_bio_X509(certificate_text.get(), certificate.get()) == 1);
    return {text_of(certificate_text.get()), pem_of(key.get())};
}

Result<std::string> make_private_key(std::string_view algorithm, const std::string& bits)
{
    Key key;
    if (algorithm == "rsa") {
        const auto number = parse_number(bits);
        if (!number || *number < 512 || *number > 16384)
            return Error{"an RSA key has 512 to 16384 bits"};
        key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(*number)));
    } else if (algorithm == "ecdsa") {
        key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", bits == "secp256r1" ? "prime256v1" : bits.c_str()));
    } else {
        return Error{"neither rsa nor ecdsa"};
    }
    if (!key)
        return Error{openssl_reason()};
    return pem_of(key.get());
}

Result<std::string> certificate_request(const std::string& private_key, const std::vector<std::string>& dns_names)
{
    const Key key = read_key(private_key);
    if (!key)
        return Error{"no private key"};
    const std::unique_ptr<X509_REQ, FreeBy<X509_REQ_free>> request(X509_REQ_new());
    must(request && X509_REQ_set_version(request.get(), 0) == 1 && X509_REQ_set_pubkey(request.get(), key.get()) == 1);
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, nullptr, nullptr, request.get(), nullptr, 0);
    std::unique_ptr<STACK_OF(X509_EXTENSION), void (*)(STACK_OF(X509_EXTENSION)*)> extensions(
        sk_X509_EXTENSION_new_null(), [](STACK_OF(X509_EXTENSION) * all) { sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free); });
    const auto add = [&](int nid, const std::string& value) {
        X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
        must(extension && sk_X509_EXTENSION_push(extensions.get(), extension) > 0);
    };
    add(NID_subject_key_identifier, "hash");
    add(NID_ext_key_usage, "serverAuth,clientAuth");
    add(NID_subject_alt_name, subject_alternatives(dns_names));
    must(X509_REQ_add_extensions(request.get(), extensions.get()) == 1);
    must(X509_REQ_sign(request.get(), key.get(), EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256()) > 0);
    const Bio text(BIO_new(BIO_s_mem()));
    must(PEM_write_bio_X509_REQ(text.get(), request.get()) == 1);
    return text_of(text.get());
}

Result<std::string> key_algorithm(const std::string& private_key)
{
    const Key key = read_key(private_key);
    if (!key)
        return Error{"no private key"};
    switch (EVP_PKEY_get_base_id(key.get())) {
    case EVP_PKEY_RSA: return "rsa";
    case EVP_PKEY_EC: return "ecdsa";
    default: return to_lower(EVP_PKEY_get0_type_name(key.get()));
    }
}

Result<std::string> public_key_digest(const std::string& private_key)
{
    const Key key = read_key(private_key);
    if (!key)
        return Error{"no private key"};
    unsigned char* octets = nullptr;
    const int length = i2d_PUBKEY(key.get(), &octets);
    must(length > 0);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    const bool made = EVP_Digest(octets, static_cast<std::size_t>(length), digest, &size, EVP_sha256(), nullptr) == 1;
    OPENSSL_free(octets);
    must(made);
    std::string text;
    for (unsigned i = 0; i < size; ++i)
        text += fmt::format("{:02x}", digest[i]);
    return text;
}

Result<bool> certificate_fits(const std::string& certificate, const std::string& private_key)
{
    const Key key = read_key(private_key);
    if (!key)
        return Error{"no private key"};
    const X509Ptr first(PEM_read_bio_X509(reading(certificate).get(), nullptr, nullptr, nullptr));
    ERR_clear_error();
    if (!first)
        return Error{"no certificate"};
    const bool fits = X509_check_private_key(first.get(), key.get()) == 1;
    ERR_clear_error();
    return fits;
}

}  // namespace posthorn::tls
