// SCRAM without channel binding.                                                                   RFC 5802, 7677
#include "sasl/mechanisms.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>
#include <unicode/unistr.h>
#include <unicode/usprep.h>

#include <algorithm>

namespace posthorn::sasl {

namespace {

class Scram final : public Mechanism {
public:
    Scram(tls::Digest kind, const Credentials& credentials, std::string nonce)
        : kind_(kind), password_(prepared(credentials.password)), nonce_(std::move(nonce))
    {
        const std::string name = escaped(prepared(credentials.username));
        header_ = credentials.say_authzid ? fmt::format("n,a={},", name) : "n,,";
        first_bare_ = fmt::format("n={},r={}", name, nonce_);
    }

    std::optional<std::string> initial() override { return first(); }

    Result<std::string> answer(std::string_view challenge) override
    {
        switch (stage_) {
        case Stage::begun:
            if (challenge.empty())
                return first();
            break;
        case Stage::first_said: return prove(challenge);
        case Stage::proved: TRY_VOID(check(challenge)); return std::string{};
        case Stage::done: break;
        }
        return Error("the server asks for more than SCRAM has");
    }

    Result<void> finished() override
    {
        if (stage_ != Stage::done)
            return Error("the server accepted without proving that it knows the password");
        return {};
    }

    bool costly() const override { return stage_ == Stage::first_said; }

private:
    enum class Stage : std::uint8_t { begun, first_said, proved, done };

    std::string first()
    {
        stage_ = Stage::first_said;
        return header_ + first_bare_;
    }

    /// server-first-message: r=nonce,s=salt,i=rounds; what else stands behind these is overlooked, "m=" at the beginning is not (RFC 5802 5.1).
    Result<std::string> prove(std::string_view challenge)
    {
        const auto wrong = [](std::string_view what) { return Error(fmt::format("the server's first SCRAM message has {}", what)); };
        const auto parts = split_exact(challenge, ',');
        if (parts.size() < 3 || !parts[0].starts_with("r=") || !parts[1].starts_with("s=") || !parts[2].starts_with("i="))
            return wrong("not the form r=,s=,i=");
        const std::string_view nonce = parts[0].substr(2);
#ifndef POSTHORN_PLANT_BUG_sasl_client
        if (!nonce.starts_with(nonce_) || nonce.size() == nonce_.size())
            return wrong("a nonce that does not go on from ours");
#endif
        const auto salt = base64_decode(parts[1].substr(2));
        if (!salt || salt->empty())
            return wrong("a salt that is no base64");
        const auto rounds = parse_number(parts[2].substr(2));
        if (!rounds || *rounds == 0 || *rounds > scram_rounds)
            return wrong(fmt::format("a number of rounds that is not from 1 to {}", scram_rounds));
        const std::string salted = tls::pbkdf2(kind_, password_, *salt, static_cast<std::uint32_t>(*rounds));
        const std::string client_key = tls::hmac(kind_, salted, "Client Key");
        const std::string last = fmt::format("c={},r={}", base64_encode(header_), nonce);
        const std::string all = fmt::format("{},{},{}", first_bare_, challenge, last);
        std::string proof = tls::hmac(kind_, tls::digest(kind_, client_key), all);
        std::ranges::transform(proof, client_key, proof.begin(), [](char a, char b) { return static_cast<char>(a ^ b); });
        signature_ = tls::hmac(kind_, tls::hmac(kind_, salted, "Server Key"), all);
        stage_ = Stage::proved;
        return fmt::format("{},p={}", last, base64_encode(proof));
    }

    /// server-final-message: v=signature, or e=error.
    Result<void> check(std::string_view challenge)
    {
        if (challenge.starts_with("e="))
            return Error(fmt::format("the server says {}", printable(challenge.substr(2, 100))));
        const auto parts = split_exact(challenge, ',');
        const auto said = parts[0].starts_with("v=") ? base64_decode(parts[0].substr(2)) : std::nullopt;
        if (!said || !tls::same_octets(*said, signature_))
            return Error("the server does not know the password");
        stage_ = Stage::done;
        return {};
    }

    tls::Digest kind_;
    std::string password_, nonce_, header_, first_bare_, signature_;
    Stage stage_ = Stage::begun;
};

}  // namespace

std::string escaped(const std::string& name)
{
    std::string made;
    for (const char c : name)
        if (c == '=')
            made += "=3D";
        else if (c == ',')
            made += "=2C";
        else
            made += c;
    return made;
}

std::string prepared(const std::string& text)
{
    if (is_ascii(text) || !is_valid_utf8(text))
        return text;
    UErrorCode status = U_ZERO_ERROR;
    UStringPrepProfile* const profile = usprep_openByType(USPREP_RFC4013_SASLPREP, &status);
    if (U_FAILURE(status))
        return text;
    const icu::UnicodeString wide = icu::UnicodeString::fromUTF8(text);
    std::u16string made(static_cast<std::size_t>(wide.length()) * 20 + 16, u'\0');      // NFKC lengthens at most eighteenfold
    const std::int32_t length = usprep_prepare(profile, wide.getBuffer(), wide.length(), made.data(), static_cast<std::int32_t>(made.size()),
                                               USPREP_DEFAULT, nullptr, &status);
    usprep_close(profile);
    if (U_FAILURE(status) || length <= 0)
        return text;
    std::string narrow;
    icu::UnicodeString(made.data(), length).toUTF8String(narrow);
    return narrow;
}

std::unique_ptr<Mechanism> scram(tls::Digest kind, const Credentials& credentials, std::string nonce)
{
    return std::make_unique<Scram>(kind, credentials, std::move(nonce));
}

}  // namespace posthorn::sasl
