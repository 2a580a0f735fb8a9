#include "sasl/client.hpp"

#include "base/strings.hpp"
#include "sasl/mechanisms.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::sasl {

namespace {

using enum Property;

struct Known {
    std::string_view name;
    Properties has;
};
/// The order of preference: what shows a listener least comes first. Tokens come last: they are no passwords, and who has one filters.
constexpr std::array known{
    Known{"SCRAM-SHA-256", {no_plaintext, no_anonymous, no_active, mutual_auth}},
    Known{"SCRAM-SHA-1", {no_plaintext, no_anonymous, no_active, mutual_auth}},
    Known{"DIGEST-MD5", {no_plaintext, no_anonymous, mutual_auth}},
    Known{"CRAM-MD5", {no_plaintext, no_anonymous}},
    Known{"PLAIN", {no_anonymous}},
    Known{"LOGIN", {no_anonymous}},
    Known{"OAUTHBEARER", {no_anonymous}},
    Known{"XOAUTH2", {no_anonymous}},
    Known{"EXTERNAL", {no_plaintext, no_anonymous, no_dictionary}},
};

/// One message, and nothing to add to it.
class OneMessage final : public Mechanism {
public:
    /// `to_failure`: what is said to a challenge that tells why it failed (RFC 7628 3.2.3); then the server refuses by its reply.
    explicit OneMessage(std::string message, std::string to_failure = {}) : message_(std::move(message)), to_failure_(std::move(to_failure)) {}
    std::optional<std::string> initial() override
    {
        said_ = true;
        return message_;
    }
    Result<std::string> answer(std::string_view challenge) override
    {
        if (!said_ || (challenge.empty() && !asked_again_)) {       // a server that has overlooked it
            said_ = asked_again_ = true;
            return message_;
        }
        if (!failed_ && !challenge.empty()) {
            failed_ = true;
            return to_failure_;
        }
        return Error("the server asks for more than the mechanism has");
    }

private:
    std::string message_, to_failure_;
    bool said_ = false, asked_again_ = false, failed_ = false;
};

/// Two questions, in whatever words: the name, the password.
class Login final : public Mechanism {
public:
    explicit Login(const Credentials& credentials) : answers_{credentials.username, credentials.password} {}
    std::optional<std::string> initial() override { return std::nullopt; }
    Result<std::string> answer(std::string_view) override
    {
        if (next_ == answers_.size())
            return Error("the server asks for more than name and password");
        return answers_[next_++];
    }

private:
    std::array<std::string, 2> answers_;
    std::size_t next_ = 0;
};

class CramMd5 final : public Mechanism {
public:
    explicit CramMd5(const Credentials& credentials) : credentials_(credentials) {}
    std::optional<std::string> initial() override { return std::nullopt; }
    Result<std::string> answer(std::string_view challenge) override
    {
        if (challenge.empty() || std::exchange(said_, true))
            return Error("the server's challenge is none of CRAM-MD5");
        return fmt::format("{} {}", credentials_.username, to_lower(hex_encode(tls::hmac(tls::Digest::md5, credentials_.password, challenge))));
    }

private:
    Credentials credentials_;
    bool said_ = false;
};

std::string plain(const Credentials& credentials)
{
    std::string text = credentials.say_authzid ? credentials.username : std::string{};
    text += '\0';
    text += credentials.username;
    text += '\0';
    text += credentials.password;
    return text;
}

}  // namespace

std::string_view choose(std::span<const std::string> offered, Properties wanted)
{
    const bool alone = offered.size() == 1;
    for (const Known& one : known)
        if (one.has.includes(wanted) && std::ranges::find(offered, one.name) != offered.end() && (one.name != "EXTERNAL" || alone))
            return one.name;
    return {};
}

std::unique_ptr<Mechanism> begin(std::string_view name, const Credentials& credentials, const Server& server, std::string nonce)
{
    if (nonce.empty())
        nonce = base64_encode(tls::random_octets(24));
    if (name == "SCRAM-SHA-256")
        return scram(tls::Digest::sha256, credentials, std::move(nonce));
    if (name == "SCRAM-SHA-1")
        return scram(tls::Digest::sha1, credentials, std::move(nonce));
    if (name == "DIGEST-MD5")
        return digest_md5(credentials, server, std::move(nonce));
    if (name == "CRAM-MD5")
        return std::make_unique<CramMd5>(credentials);
    if (name == "LOGIN")
        return std::make_unique<Login>(credentials);
    if (name == "PLAIN")
        return std::make_unique<OneMessage>(plain(credentials));
    if (name == "EXTERNAL")
        return std::make_unique<OneMessage>(credentials.say_authzid ? credentials.username : std::string{});
    if (name == "XOAUTH2")
        return std::make_unique<OneMessage>(fmt::format("user={}\x01"
                                                        "auth=Bearer {}\x01\x01",
                                                        credentials.username, credentials.password));
    if (name == "OAUTHBEARER")
        return std::make_unique<OneMessage>(fmt::format("n,a={},\x01"
                                                        "host={}\x01"
                                                        "port={}\x01"
                                                        "auth=Bearer {}\x01\x01",
                                                        escaped(credentials.username), server.host, server.port, credentials.password),
                                            "\x01");
    return nullptr;
}

}  // namespace posthorn::sasl
