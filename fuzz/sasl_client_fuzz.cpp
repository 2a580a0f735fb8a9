// What a server may say during AUTH: answers stay within bounds, errors tell no secret, and who does not know the password proves nothing.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "sasl/client.hpp"
#include "sasl/mechanisms.hpp"

#include <fmt/format.h>

#include <array>

namespace posthorn::fuzz {
namespace {

constexpr std::string_view our_nonce = "fyko";

/// A server that knows the password, by RFC 5802 3: what the client says proves that it knows it too, and it believes this server; not one whose
/// signature is another.
void check_honest_server(std::string_view name, tls::Digest kind, std::string_view input)
{
    using namespace sasl;
    Choices choices{input};
    const std::uint8_t bits = choices.octet();
    const std::string salt(input.empty() ? "salt" : input.substr(0, 30)), password(input.empty() ? "password" : input);
    FUZZ_CHECK(!is_valid_utf8(password) || is_valid_utf8(prepared(password)));
    FUZZ_CHECK(prepared(password).size() <= 54 * password.size());  // NFKC lengthens at most eighteenfold, from UTF-16 to 8 threefold
    const auto client = begin(name, Credentials("user", password), Server("smtp", "peer.test", 25), std::string(our_nonce));
    const auto hello = client->initial();
    FUZZ_CHECK(hello && hello->starts_with("n,,"));
    const std::uint32_t rounds = 1 + bits % 4;
    const std::string first = fmt::format("r={}x,s={},i={}", our_nonce, base64_encode(salt), rounds);
    const auto proved = client->answer(first);
    FUZZ_CHECK(proved && !client->finished());
    const std::size_t at = proved->find(",p=");
    FUZZ_CHECK(at != std::string::npos);
    const std::string all = fmt::format("{},{},{}", hello->substr(3), first, proved->substr(0, at));
    const std::string salted = tls::pbkdf2(kind, prepared(password), salt, rounds), key = tls::hmac(kind, salted, "Client Key");
    std::string proof = base64_decode(proved->substr(at + 3)).value_or("");
    const std::string mask = tls::hmac(kind, tls::digest(kind, key), all);
    FUZZ_CHECK(proof.size() == mask.size());
    std::ranges::transform(proof, mask, proof.begin(), [](char a, char b) { return static_cast<char>(a ^ b); });
    FUZZ_CHECK(proof == key);
    std::string signature = tls::hmac(kind, tls::hmac(kind, salted, "Server Key"), all);
    if ((bits & 0x20) != 0) {
        signature[bits % signature.size()] ^= 1;
        FUZZ_CHECK(!client->answer("v=" + base64_encode(signature)) && !client->finished());
        return;
    }
    const auto end = client->answer("v=" + base64_encode(signature));
    FUZZ_CHECK(end && end->empty() && client->finished());
    FUZZ_CHECK(!client->answer(first));
}

}  // namespace

void fuzz_one(std::string_view input)
{
    using namespace sasl;
    constexpr std::array<std::string_view, 9> names{"SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5", "PLAIN",
                                                    "LOGIN",         "OAUTHBEARER", "XOAUTH2",    "EXTERNAL"};
    const std::string secret = "correct horse battery staple", nonce(our_nonce);
    Choices choices{input};
    const std::uint8_t bits = choices.octet();
    const std::string_view name = names[bits % names.size()];
    const bool proves = bits % names.size() < 3;
    if ((bits & 0x3c) == 0x3c)                    // seldom: it computes
        return (bits & 1) != 0 ? check_honest_server(names[0], tls::Digest::sha256, input) : check_honest_server(names[1], tls::Digest::sha1, input);
    // Rounds are bounded, and still too many for a fuzzer.
    for (auto at = input.find("i="); at != std::string_view::npos; at = input.find("i=", at + 1)) {
        const std::string_view rounds = input.substr(at + 2);
        if (std::min(rounds.find_first_not_of("0123456789"), rounds.size()) > 3)
            return;
    }
    Credentials credentials("us=e,r", secret);
    credentials.say_authzid = (bits & 0x80) != 0;
    const auto mechanism = begin(name, credentials, Server("smtp", "peer.test", 25), nonce);
    FUZZ_CHECK(mechanism != nullptr);
    FUZZ_CHECK(!proves || !mechanism->finished());
    if ((bits & 0x40) == 0)
        if (const auto first = mechanism->initial())
            FUZZ_CHECK(first->size() < 1000);
    int answered = 0;
    for (const std::string_view challenge : split_exact(input, '\n')) {
        (void)mechanism->costly();
        const auto answer = mechanism->answer(challenge);
        if (!answer) {
            FUZZ_CHECK(answer.error().text().find(secret) == std::string::npos);
            FUZZ_CHECK(answer.error().text().find_first_of("\r\n") == std::string::npos);
            break;
        }
        FUZZ_CHECK(answer->size() <= 4 * challenge.size() + 1000);
        if (name.starts_with("SCRAM-") && answer->starts_with("c="))
            FUZZ_CHECK(challenge.starts_with("r=" + nonce));
        FUZZ_CHECK(!proves || answer->find(secret) == std::string::npos);
        FUZZ_CHECK(++answered <= 4);
    }
    FUZZ_CHECK(!proves || !mechanism->finished());

    std::vector<std::string> offered;
    for (const std::string_view word : split(input))
        offered.push_back(to_upper(word));
    const Properties careful{Property::no_plaintext, Property::no_anonymous};
    const std::string_view chosen = choose(offered, careful);
    FUZZ_CHECK(chosen.empty() || (std::ranges::find(offered, chosen) != offered.end() && chosen != "PLAIN" && chosen != "LOGIN"));
    if (const auto properties = parse_properties(input))
        FUZZ_CHECK(properties->includes({}));
}

}  // namespace posthorn::fuzz
