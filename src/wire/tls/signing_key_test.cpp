#include "tls/signing_key.hpp"

#include "base/strings.hpp"
#include "tls/digest.hpp"
#include "tls/make_certificate.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace posthorn;
using namespace posthorn::tls;

namespace {

// The key of RFC 8032 7.1, test 1, in PKCS #8.
constexpr std::string_view ed25519_key = "-----BEGIN PRIVATE KEY-----\n"
                                         "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                         "-----END PRIVATE KEY-----\n";

std::string new_key(std::string_view algorithm, const std::string& bits) { return make_private_key(algorithm, bits).value(); }

}  // namespace

TEST_CASE("a hash in pieces is the hash of the whole")
{
    Sha256 hash;
    hash.add("ab");
    hash.add("");
    hash.add("c");
    CHECK(hash.finish() == digest(Digest::sha256, "abc"));
}

TEST_CASE("the public key of a key of RFC 8032 is the one that is printed there")
{
    const auto key = SigningKey::parse(ed25519_key);
    REQUIRE(key);
    CHECK(key->kind() == SigningKey::Kind::ed25519);
    CHECK(base64_encode(key->public_key()) == "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
}

TEST_CASE("what a key signs is recognised by its public key, and nothing else is")
{
    for (const std::string& pem : {new_key("rsa", "2048"), std::string(ed25519_key)}) {
        const auto key = SigningKey::parse(pem);
        REQUIRE(key);
        const std::string signature = key->sign("octets").value();
        CHECK(is_signed_by(key->kind(), key->public_key(), "octets", signature));
        CHECK_FALSE(is_signed_by(key->kind(), key->public_key(), "octetz", signature));
        CHECK_FALSE(is_signed_by(key->kind(), key->public_key(), "octets", signature.substr(1)));
        CHECK_FALSE(is_signed_by(key->kind(), key->public_key().substr(1), "octets", signature));
        CHECK_FALSE(is_signed_by(key->kind(), "", "octets", ""));
    }
}

TEST_CASE("a public key says how long it is; RSA may stand there without the frame that says so")
{
    const auto key = SigningKey::parse(new_key("rsa", "1024"));
    REQUIRE(key);
    const std::string whole = key->public_key();
    const std::string alone = whole.substr(22);                  // SEQUENCE, AlgorithmIdentifier, BIT STRING: 22 octets in front at this length
    const std::string signature = key->sign("octets").value();
    for (const std::string& octets : {whole, alone}) {
        const auto verifying = VerifyingKey::parse(SigningKey::Kind::rsa, octets);
        REQUIRE(verifying);
        CHECK(verifying->bits() == 1024);
        CHECK(verifying->verify("octets", signature));
        CHECK_FALSE(verifying->verify("octetz", signature));
    }
    CHECK_FALSE(VerifyingKey::parse(SigningKey::Kind::rsa, "junk"));
    CHECK_FALSE(VerifyingKey::parse(SigningKey::Kind::rsa, ""));
    CHECK_FALSE(VerifyingKey::parse(SigningKey::Kind::ed25519, whole));
    CHECK(VerifyingKey::parse(SigningKey::Kind::ed25519, std::string(32, 'x')));
    // A key of another kind in the frame.
    const std::string framed = base64_decode("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").value();
    CHECK_FALSE(VerifyingKey::parse(SigningKey::Kind::rsa, framed));
}

TEST_CASE("what is no key for signatures says why")
{
    CHECK(SigningKey::parse("").error().text().starts_with("no private key"));
    CHECK(SigningKey::parse("-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n").error().text().starts_with("no private key"));
    CHECK(SigningKey::parse(new_key("ecdsa", "P-256")).error().text() == "not a key of RSA or Ed25519");
    CHECK(SigningKey::parse(new_key("rsa", "512")).error().text() == "an RSA key of less than 1024 bits");
}
