#include "tls/core.hpp"

#include "base/strings.hpp"
#include "net/address.hpp"
#include "tls/second_look.hpp"

#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <tuple>

namespace posthorn::tls {

namespace {

std::string fingerprint(const unsigned char* octets, unsigned length)
{
    std::string text;
    for (unsigned i = 0; i < length; ++i)
        text += fmt::format("{}{:02X}", i ? ":" : "", octets[i]);
    return text;
}

std::string entry_of(const X509_NAME* name, int nid)
{
    const int at = X509_NAME_get_index_by_NID(const_cast<X509_NAME*>(name), nid, -1);
    if (at < 0)
        return {};
    unsigned char* text = nullptr;
    const int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (length < 0)
        return {};
    const std::string all(reinterpret_cast<const char*>(text), static_cast<std::size_t>(length));
    OPENSSL_free(text);
    return printable(all, true);
}

std::string common_name(const X509_NAME* name) { return entry_of(name, NID_commonName); }

WallTime time_of(const ASN1_TIME* when)
{
    std::tm parts{};
    if (!when || ASN1_TIME_to_tm(when, &parts) != 1)
        return {};
    const std::chrono::year_month_day date{std::chrono::year{parts.tm_year + 1900}, std::chrono::month{static_cast<unsigned>(parts.tm_mon + 1)},
                                           std::chrono::day{static_cast<unsigned>(parts.tm_mday)}};
    if (!date.ok())
        return {};
    return std::chrono::sys_days{date} + std::chrono::hours{parts.tm_hour} + std::chrono::minutes{parts.tm_min} + std::chrono::seconds{parts.tm_sec};
}

std::vector<std::string> dns_names(X509* certificate)
{
    std::vector<std::string> names;
    auto* all = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
    for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
        const GENERAL_NAME* one = sk_GENERAL_NAME_value(all, i);
        if (one->type != GEN_DNS)
            continue;
        const std::string name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(one->d.dNSName)),
                               static_cast<std::size_t>(ASN1_STRING_length(one->d.dNSName)));
        if (is_ascii(name) && name.find('\0') == name.npos)           // a NUL inside is an attempt to pass for another
            names.push_back(name);
    }
    GENERAL_NAMES_free(all);
    return names;
}

/// Postfix's name of a curve: NIST's where it has one.
std::string curve_of(const EVP_PKEY* key)
{
    char name[80] = {};
    std::size_t length = 0;
    if (EVP_PKEY_get_group_name(key, name, sizeof name, &length) != 1)
        return {};
    const int nid = OBJ_sn2nid(name);
    const char* nist = nid != NID_undef ? EC_curve_nid2nist(nid) : nullptr;
    return nist ? nist : name;
}

void note_key_exchange(SSL* ssl, Facts& facts)
{
    EVP_PKEY* raw = nullptr;
    if (SSL_get_peer_tmp_key(ssl, &raw) != 1)
        return;
    const Key key(raw);
    const int kind = EVP_PKEY_get_base_id(raw);
    if (kind == EVP_PKEY_DH) {
        facts.key_exchange = "DHE";
        facts.key_exchange_bits = EVP_PKEY_get_bits(raw);
    } else if (kind == EVP_PKEY_EC) {
        facts.key_exchange = "ECDHE";
        facts.key_exchange_curve = curve_of(raw);
    } else if (const char* name = OBJ_nid2sn(kind)) {
        facts.key_exchange = name;                                    // X25519, X448
    }
}

Signature signature_by(EVP_PKEY* key, int digest)
{
    Signature signature;
    if (!key)
        return signature;
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        signature.name = "RSA-PSS";                                   // TLS 1.3 knows no other with RSA
        signature.bits = EVP_PKEY_get_bits(key);
        break;
    case EVP_PKEY_EC:
        signature.name = "ECDSA";
        signature.curve = curve_of(key);
        break;
    case EVP_PKEY_ED25519: signature.name = "Ed25519"; break;
    case EVP_PKEY_ED448: signature.name = "Ed448"; break;
    default: return signature;
    }
    if (digest != NID_undef)
        signature.digest = OBJ_nid2sn(digest);
    return signature;
}

/// Of the certificate, and of its public key.
std::pair<std::string, std::string> fingerprints(X509* certificate, const EVP_MD* with)
{
    std::pair<std::string, std::string> found;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (X509_digest(certificate, with, digest, &length) == 1)
        found.first = fingerprint(digest, length);
    unsigned char* spki = nullptr;
    if (const int size = i2d_PUBKEY(X509_get0_pubkey(certificate), &spki); size > 0) {
        if (EVP_Digest(spki, static_cast<std::size_t>(size), digest, &length, with, nullptr) == 1)
            found.second = fingerprint(digest, length);
        OPENSSL_free(spki);
    }
    return found;
}

void note_certificate(X509* certificate, const Context::Core& core, Facts& facts)
{
    facts.peer_cn = common_name(X509_get_subject_name(certificate));
    facts.issuer_cn = common_name(X509_get_issuer_name(certificate));
    facts.issuer_organization = entry_of(X509_get_issuer_name(certificate), NID_organizationName);
    facts.issued = time_of(X509_get0_notBefore(certificate));
    facts.expires = time_of(X509_get0_notAfter(certificate));
    facts.peer_names = dns_names(certificate);
    std::tie(facts.certificate_fingerprint, facts.key_fingerprint) = fingerprints(certificate, core.fingerprint);
}

std::string one_line(const X509_NAME* name)
{
    char* text = X509_NAME_oneline(name, nullptr, 0);
    const std::string line = text ? printable(text, true) : std::string();
    OPENSSL_free(text);
    return line;
}

void note_chain(SSL* ssl, const Context::Core& core, Facts& facts)
{
    const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
    for (int i = 0; i < sk_X509_num(chain); ++i) {
        X509* one = sk_X509_value(chain, i);
        PeerCertificate& told = facts.chain.emplace_back();
        told.subject = one_line(X509_get_subject_name(one));
        told.issuer = one_line(X509_get_issuer_name(one));
        std::tie(told.certificate_fingerprint, told.key_fingerprint) = fingerprints(one, core.fingerprint);
        const Bio text(BIO_new(BIO_s_mem()));
        if (PEM_write_bio_X509(text.get(), one) == 1) {
            char* data = nullptr;
            const long length = BIO_get_mem_data(text.get(), &data);
            told.pem.assign(data, static_cast<std::size_t>(length));
        }
    }
}

/// The names a certificate stands for. One without subjectAltName, of a private authority, says its name in the subject.
std::vector<std::string> names_of(X509* certificate, const Facts& facts)
{
    if (X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1) < 0 && !facts.peer_cn.empty())
        return {facts.peer_cn};
    return facts.peer_names;
}

void note_fingerprints(const std::vector<std::string>& wanted, Facts& facts)
{
    facts.trust = Trust::untrusted;
    facts.why = "no digest of the certificate or its key is one of those expected";
    for (const std::string& one : wanted)
        for (const std::string& own : {facts.certificate_fingerprint, facts.key_fingerprint})
            if (facts.trust != Trust::verified && same_fingerprint(one, own)) {
                facts.trust = Trust::verified;
                facts.matched_name = own;
                facts.why.clear();
            }
}

void note_trust(SSL* ssl, X509* certificate, const ConnectOptions& wanted, Facts& facts)
{
    if (!wanted.fingerprints.empty()) {
        note_fingerprints(wanted.fingerprints, facts);
        return;
    }
    if (const long verdict = SSL_get_verify_result(ssl); verdict != X509_V_OK) {
        facts.trust = Trust::untrusted;
        facts.why = X509_verify_cert_error_string(verdict);
        return;
    }
    if (!wanted.anchors.empty()) {
        const auto usage = matched_usage(ssl);
        facts.trust = !usage ? Trust::untrusted : *usage == 3 ? Trust::verified : Trust::trusted;
        if (facts.trust == Trust::untrusted)
            facts.why = "no trust anchor vouches for it";
        if (facts.trust != Trust::trusted)
            return;
    }
    facts.trust = Trust::trusted;
    for (const std::string& name : wanted.names)
        for (const std::string& dns_id : names_of(certificate, facts))
            if (facts.trust != Trust::verified && reference_fits(dns_id, name, wanted.several_labels)) {
                facts.trust = Trust::verified;
                facts.matched_name = dns_id;
            }
    if (!wanted.names.empty() && facts.trust != Trust::verified)
        facts.why = fmt::format("certificate bears none of the names expected: {}", fmt::join(wanted.names, ", "));
}

std::string der_octets(X509* certificate)
{
    std::string octets(static_cast<std::size_t>(std::max(i2d_X509(certificate, nullptr), 0)), '\0');
    auto* at = reinterpret_cast<unsigned char*>(octets.data());
    if (!octets.empty())
        i2d_X509(certificate, &at);
    return octets;
}

std::shared_ptr<const Shown> shown_in(SSL* ssl, X509* peer, const Facts& facts)
{
    auto shown = std::make_shared<Shown>();
    shown->version = SSL_version(ssl);
    shown->protocol = facts.protocol;
    shown->cipher = facts.cipher;
    shown->sni = facts.sni;
    shown->resumed = facts.resumed;
    shown->verdict = SSL_get_verify_result(ssl);
    const STACK_OF(X509)* chain = facts.resumed ? nullptr : SSL_get_peer_cert_chain(ssl);
    for (int i = 0; i < sk_X509_num(chain); ++i)
        shown->certificates.push_back(der_octets(sk_X509_value(chain, i)));
    if (peer && shown->certificates.empty())
        shown->certificates.push_back(der_octets(peer));
    return shown;
}

}  // namespace

void note_peer(SSL* ssl, X509* certificate, const Context::Core& core, const ConnectOptions& wanted, Facts& facts)
{
    note_certificate(certificate, core, facts);
    note_trust(ssl, certificate, wanted, facts);
}

Facts facts_of(SSL* ssl, const Context::Core& core, const ConnectOptions& wanted)
{
    Facts facts;
    facts.role = core.role;
    facts.protocol = SSL_get_version(ssl);
    const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl);
    facts.cipher = SSL_CIPHER_get_name(cipher);
    facts.bits_used = SSL_CIPHER_get_bits(cipher, &facts.bits_of_algorithm);
    facts.resumed = SSL_session_reused(ssl) == 1;
    if (const char* sni = core.role == Role::client ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : nullptr)
        facts.sni = printable(sni);
    const X509Ptr peer(SSL_get1_peer_certificate(ssl));
    if (SSL_version(ssl) >= TLS1_3_VERSION) {
        note_key_exchange(ssl, facts);
        if (!facts.resumed) {                                         // nobody signs a resumption
            int digest = NID_undef;
            Signature own, theirs;
            if (SSL_get_signature_nid(ssl, &digest) == 1)
                own = signature_by(SSL_get_privatekey(ssl), digest);
            if (peer && SSL_get_peer_signature_nid(ssl, &digest) == 1)
                theirs = signature_by(X509_get0_pubkey(peer.get()), digest);
            (core.role == Role::server ? facts.server_signature : facts.client_signature) = std::move(own);
            (core.role == Role::server ? facts.client_signature : facts.server_signature) = std::move(theirs);
        }
    }
    if (wanted.keep_shown)
        facts.shown = shown_in(ssl, peer.get(), facts);
    if (peer) {
        note_peer(ssl, peer.get(), core, wanted, facts);
        if (core.options.keep_chain)
            note_chain(ssl, core, facts);
    }
    return facts;
}

std::optional<Error> refusal(const Facts& facts, const ConnectOptions& options)
{
    const bool any_name = options.names.empty() && options.fingerprints.empty() && options.anchors.empty();
    if (facts.trust >= (any_name ? Trust::trusted : Trust::verified))
        return std::nullopt;
    const bool untrusted = facts.trust < Trust::trusted && options.fingerprints.empty();
    return Error{untrusted ? "Server certificate not trusted" : "Server certificate not verified", "4.7.5"}.after(facts.why);
}

}  // namespace posthorn::tls
