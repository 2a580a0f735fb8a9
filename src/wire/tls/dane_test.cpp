// What a chain is held against: TLSA records, trust anchors, fingerprints, names by policies.
#include "base/strings.hpp"
#include "tls/core.hpp"
#include "tls/testing.hpp"

#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

using namespace posthorn;
using namespace posthorn::tls;
using namespace std::chrono_literals;

namespace {

/// The leaf with its issuer behind it, as a server sends them.
Pem with_issuer(Pem pem)
{
    pem.certificate += authority().certificate;
    return pem;
}

std::string der_of(const std::string& pem) { return trust_anchors(pem, "test").value().front().data; }

std::string key_of(const std::string& pem)
{
    const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    unsigned char* octets = nullptr;
    const int length = i2d_PUBKEY(X509_get0_pubkey(certificate.get()), &octets);
    std::string text(reinterpret_cast<const char*>(octets), static_cast<std::size_t>(length));
    OPENSSL_free(octets);
    return text;
}

std::string digest(const std::string& octets, const EVP_MD* how)
{
    unsigned char room[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    REQUIRE(EVP_Digest(octets.data(), octets.size(), room, &length, how, nullptr) == 1);
    return {reinterpret_cast<const char*>(room), length};
}

/// A record for this certificate.
TlsaRecord record(std::uint8_t usage, std::uint8_t selector, std::uint8_t matching, const std::string& pem)
{
    const std::string octets = selector == 0 ? der_of(pem) : key_of(pem);
    return {usage, selector, matching, matching == 0 ? octets : digest(octets, matching == 1 ? EVP_sha256() : EVP_sha512())};
}

struct Held {
    Trust trust;
    std::string why;
};

Held hold(const Pem& server, std::vector<TlsaRecord> anchors, std::vector<std::string> names = {"mx.test"}, Options mine = {})
{
    asio::io_context loop;
    ConnectOptions options("mx.test");
    options.names = std::move(names);
    options.anchors = std::move(anchors);
    auto met = meet(loop, client_context(std::move(mine)), server_context(server), std::move(options));
    REQUIRE_MESSAGE(met.client.has_value(), (met.client ? std::string() : met.client.error().text()));
    return {met.client->facts.trust, met.client->facts.why};
}

}  // namespace

TEST_CASE("dane: usage 3 vouches for the server's own certificate or key, whatever its name, issuer and dates")
{
    const Pem right = leaf("elsewhere.test", KeyKind::p256, -60s), other = leaf("mx.test");
    for (const std::uint8_t selector : {std::uint8_t{0}, std::uint8_t{1}})
        for (const std::uint8_t matching : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{2}}) {
            CAPTURE(static_cast<int>(selector));
            CAPTURE(static_cast<int>(matching));
            CHECK(hold(right, {record(3, selector, matching, right.certificate)}).trust == Trust::verified);
            CHECK(hold(other, {record(3, selector, matching, right.certificate)}).trust == Trust::untrusted);
        }
    // The certificate of an issuer is none of the server's own.
    CHECK(hold(with_issuer(right), {record(3, 1, 1, authority().certificate)}).trust == Trust::untrusted);
    CHECK(hold(right, {record(3, 1, 1, other.certificate), record(3, 1, 1, right.certificate)}).trust == Trust::verified);
}

TEST_CASE("dane: usage 2 vouches for whom the issuer issued to; names and dates count")
{
    const Pem server = with_issuer(leaf("mx.test"));
    for (const std::uint8_t selector : {std::uint8_t{0}, std::uint8_t{1}})
        for (const std::uint8_t matching : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{2}})
            CHECK(hold(server, {record(2, selector, matching, authority().certificate)}).trust == Trust::verified);
    const TlsaRecord anchor = record(2, 1, 1, authority().certificate);
    CHECK(hold(server, {anchor}, {"other.test", "mx.test"}).trust == Trust::verified);
    CHECK(hold(server, {anchor}, {"other.test"}).trust == Trust::trusted);
    CHECK(hold(with_issuer(leaf("mx.test", KeyKind::p256, -60s)), {anchor}).trust == Trust::untrusted);
    CHECK(hold(leaf("mx.test"), {anchor}).trust == Trust::untrusted);         // it must send what the digest is of
    CHECK(hold(leaf("mx.test"), {record(2, 0, 0, authority().certificate)}).trust == Trust::verified);   // here it is known
    // The authorities of the Context have no say.
    asio::io_context loop;
    ConnectOptions options("mx.test");
    options.names = {"mx.test"};
    options.anchors = {record(2, 1, 1, leaf("x.test").certificate)};
    options.must_verify = true;
    CHECK(meet(loop, client_context({}, true), server_context(server), options).client.error().what() == "Server certificate not trusted");
}

TEST_CASE("dane: of several digests for the same thing only the strongest counts, in the administrator's order")
{
    const Pem server = leaf("mx.test"), other = leaf("mx.test");
    const TlsaRecord weak = record(3, 1, 1, server.certificate), strong = record(3, 1, 2, other.certificate);
    CHECK(hold(server, {weak}).trust == Trust::verified);
    CHECK(hold(server, {weak, strong}).trust == Trust::untrusted);
    Options turned;
    turned.dane_digests = "sha256 sha512";
    CHECK(hold(server, {weak, strong}, {}, turned).trust == Trust::verified);
    CHECK(hold(server, {record(3, 0, 1, server.certificate), strong}).trust == Trust::verified);      // of another thing
}

TEST_CASE("dane: records that can be used are told from those that cannot")
{
    const auto context = client_context();
    const std::string certificate = leaf("mx.test").certificate;
    const TlsaRecord good = record(3, 1, 1, certificate);
    const auto usable = [&](TlsaRecord one) { return context->usable({std::move(one)}).size() == 1; };
    CHECK(usable(good));
    CHECK(usable(record(2, 0, 2, certificate)));
    CHECK(usable(record(3, 0, 0, certificate)));
    CHECK_FALSE(usable(record(0, 1, 1, certificate)));                          // RFC 7672 3.1.3
    CHECK_FALSE(usable(record(1, 1, 1, certificate)));
    CHECK_FALSE(usable({4, 1, 1, good.data}));
    CHECK_FALSE(usable({255, 1, 1, good.data}));
    CHECK_FALSE(usable({3, 2, 1, good.data}));
    CHECK_FALSE(usable({3, 1, 3, good.data}));
    CHECK_FALSE(usable({3, 1, 2, good.data}));                                  // too short for its digest
    CHECK_FALSE(usable({3, 1, 1, good.data.substr(1)}));
    CHECK_FALSE(usable({3, 1, 1, ""}));
    CHECK_FALSE(usable({3, 0, 0, "no certificate"}));
    CHECK_FALSE(usable({2, 1, 0, "no key"}));
    Options only;
    only.dane_digests = "sha512";
    CHECK(client_context(only)->usable({good}).empty());
    CHECK(context->usable({{3, 2, 1, good.data}, good, {0, 1, 1, good.data}}) == std::vector<TlsaRecord>{good});
    CHECK(context->usable({}).empty());
    for (const char* bad : {"sha1", "sha512=", "sha512=0", "sha512=256", "=1", "nosuch=3"}) {
        Options wrong;
        wrong.dane_digests = bad;
        CHECK(Context::client(wrong).error().what().starts_with("invalid tls_dane_digests: "));
    }
    Options more;
    more.dane_digests = "sha384=7 sha512";
    CHECK(client_context(more)->usable({{3, 1, 7, digest("x", EVP_sha384())}}).size() == 1);
}

TEST_CASE("trust anchors: a file of certificates and public keys vouches in place of the authorities; one without any is an error")
{
    const std::string& ca = authority().certificate;
    const Bio bio(BIO_new_mem_buf(ca.data(), static_cast<int>(ca.size())));
    const X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    const Bio written(BIO_new(BIO_s_mem()));
    REQUIRE(PEM_write_bio_PUBKEY(written.get(), X509_get0_pubkey(certificate.get())) == 1);
    char* text = nullptr;
    const long length = BIO_get_mem_data(written.get(), &text);
    const std::string key(text, static_cast<std::size_t>(length));
    const Pem server = with_issuer(leaf("mx.test"));
    CHECK(hold(server, trust_anchors(ca, "f").value()).trust == Trust::verified);
    CHECK(hold(server, trust_anchors(key, "f").value()).trust == Trust::verified);
    CHECK(hold(server, trust_anchors(leaf("x.test").certificate, "f").value()).trust == Trust::untrusted);
    CHECK(trust_anchors(key + ca, "f").value().size() == 2);
    CHECK(trust_anchors("", "f").error().what() == "cannot load trust anchors from f: neither a certificate nor a public key");
    CHECK(trust_anchors(authority().key, "f").error().what() == "cannot load trust anchors from f: neither a certificate nor a public key");
    CHECK(trust_anchors("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "f")
              .error()
              .what()
              .starts_with("cannot load trust anchors from f: error:"));
    CHECK_FALSE(trust_anchors(ca + "-----BEGIN CERTIFICATE-----\n!!\n", "f"));
}

TEST_CASE("fingerprints: one of the certificate or its key is enough, nothing else is")
{
    asio::io_context loop;
    const auto server = server_context(leaf("elsewhere.test", KeyKind::p256, -60s));
    const Facts known = meet(loop, client_context(), server).client->facts;
    ConnectOptions options("mx.test");
    options.must_verify = true;
    for (const std::string& right : {known.certificate_fingerprint, to_lower(known.key_fingerprint)}) {
        options.fingerprints = {"00:11", right};
        const auto met = meet(loop, client_context(), server, options);
        REQUIRE(met.client.has_value());
        CHECK(met.client->facts.trust == Trust::verified);
    }
    options.fingerprints = {"00:11"};
    CHECK(meet(loop, client_context(), server, options).client.error().what() == "Server certificate not verified");
    options.names = {"mx.test"};
    CHECK(meet(loop, client_context({}, true), server_context(leaf("mx.test")), options).client.error().what() == "Server certificate not verified");
    CHECK(same_fingerprint("AA:0b", "aA0B"));
    CHECK_FALSE(same_fingerprint("AA:0b", "aA0B0"));
    CHECK_FALSE(same_fingerprint("", ""));
}

TEST_CASE(
    "names of a policy: a domain with a dot before it is any below; a wildcard may stand for several labels; the subject counts without DNS-IDs")
{
    for (const auto& [id, reference, one, several] : {std::tuple{"mx.example.test", ".example.test", true, true},
                                                      {"a.mx.example.test", ".example.test", true, true},
                                                      {"*.example.test", ".example.test", true, true},
                                                      {"example.test", ".example.test", false, false},
                                                      {"badexample.test", ".example.test", false, false},
                                                      {"m*.example.test", ".example.test", false, false},
                                                      {"mx.example.test", ".", false, false},
                                                      {"mx.example.test", "", false, false},
                                                      {"*.example.test", "mx.example.test", true, true},
                                                      {"*.example.test", "a.mx.example.test", false, true},
                                                      {"*.example.test", "example.test", false, false},
                                                      {"*.test", "example.test", false, false},
                                                      {"*.example.test", ".mx.example.test", false, false}}) {
        CAPTURE(id);
        CAPTURE(reference);
        CHECK(reference_fits(id, reference, false) == one);
        CHECK(reference_fits(id, reference, true) == several);
    }
    asio::io_context loop;
    const auto trust = [&](std::vector<std::string> dns_names) {
        CertificateWish wish("mx.test");
        wish.dns_names = std::move(dns_names);
        ConnectOptions options("mx.test");
        options.names = {"mx.test"};
        return meet(loop, client_context({}, true), server_context(make_certificate(wish, &authority())), options).client->facts.trust;
    };
    CHECK(trust({}) == Trust::verified);
    CHECK(trust({"other.test"}) == Trust::trusted);                             // RFC 6125 6.4.4: then it does not
}

TEST_CASE("a session may ask for other protocols and ciphers than its context")
{
    asio::io_context loop;
    Options strict;
    strict.protocols = "TLSv1.3";
    ConnectOptions options("mx.test");
    CHECK(meet(loop, client_context(strict), server_context(leaf("mx.test"), Options{}), options).client->facts.protocol == "TLSv1.3");
    options.protocols = "TLSv1.2";
    options.cipher_list = "ECDHE-ECDSA-AES128-GCM-SHA256";
    const auto met = meet(loop, client_context(strict), server_context(leaf("mx.test")), options);
    REQUIRE(met.client.has_value());
    CHECK(met.client->facts.protocol == "TLSv1.2");
    CHECK(met.client->facts.cipher == "ECDHE-ECDSA-AES128-GCM-SHA256");
    options.protocols = ">=TLSv1.3";
    Options old;
    old.protocols = "<=TLSv1.2";
    CHECK_FALSE(meet(loop, client_context(), server_context(leaf("mx.test"), old), options).client.has_value());
    options.cipher_list = "NOSUCH";
    CHECK(meet(loop, client_context(), server_context(leaf("mx.test")), options)
              .client.error()
              .what()
              .starts_with("invalid TLS cipher list \"NOSUCH\""));
}
