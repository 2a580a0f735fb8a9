#include "tls/make_certificate.hpp"

#include "tls/core.hpp"

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
    const Key key = make_key(wish.key);
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
    std::string names;
    for (const std::string& dns_name : wish.dns_names)
        names += (names.empty() ? "DNS:" : ",DNS:") + dns_name;
    if (!names.empty())
        extend(certificate.get(), by, NID_subject_alt_name, names);
    EVP_PKEY* by_key = signing_key ? signing_key.get() : key.get();
    const bool own_digest = EVP_PKEY_get_base_id(by_key) == EVP_PKEY_ED25519;
    must(X509_sign(certificate.get(), by_key, own_digest ? nullptr : EVP_sha256()) > 0);

    const Bio certificate_text(BIO_new(BIO_s_mem())), key_text(BIO_new(BIO_s_mem()));
    must(PEM_write_bio_X509(certificate_text.get(), certificate.get()) == 1);
    must(PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
    return {text_of(certificate_text.get()), text_of(key_text.get())};
}

}  // namespace posthorn::tls
