// What a server may say during AUTH: answers stay within bounds, errors tell no secret, and who does not know the password proves nothing.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "sasl/client.hpp"

#include <array>

namespace posthorn::fuzz {

void fuzz_one(std::string_view input)
{
    using namespace sasl;
    constexpr std::array<std::string_view, 9> names{"SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5", "PLAIN",
                                                    "LOGIN",         "OAUTHBEARER", "XOAUTH2",    "EXTERNAL"};
    const std::string secret = "correct horse battery staple", nonce = "fyko";
    Choices choices{input};
    const std::uint8_t bits = choices.octet();
    const std::string_view name = names[bits % names.size()];
    const bool proves = bits % names.size() < 3;
    // Rounds are bounded, and still too many for a fuzzer.
    for (auto at = input.find("i="); at != std::string_view::npos; at = input.find("i=", at + 1))
        if (input.substr(at + 2).find_first_not_of("0123456789") > 3)
            return;
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
