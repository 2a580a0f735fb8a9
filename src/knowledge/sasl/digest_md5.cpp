// DIGEST-MD5, quality of protection "auth": what is said afterwards is not protected by it.        RFC 2831
#include "sasl/mechanisms.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <map>
#include <vector>

namespace posthorn::sasl {

namespace {

std::string md5(std::string_view octets) { return tls::digest(tls::Digest::md5, octets); }
std::string hex(std::string_view octets) { return to_lower(hex_encode(octets)); }

/// name=value, name="quoted value", by commas. A name that comes twice keeps its first value; realm may.
Result<std::map<std::string, std::string>> directives(std::string_view text)
{
    std::map<std::string, std::string> found;
    const auto wrong = [] { return Error("the server's DIGEST-MD5 challenge cannot be read"); };
    std::size_t at = 0;
    const auto skip = [&] {
        while (at < text.size() && (is_space(text[at]) || text[at] == ','))
            ++at;
    };
    for (skip(); at < text.size(); skip()) {
        const auto equals = text.find('=', at);
        if (equals == std::string_view::npos || equals == at)
            return wrong();
        std::string name = to_lower(trim(text.substr(at, equals - at)));
        std::string value;
        at = equals + 1;
        while (at < text.size() && is_space(text[at]))
            ++at;
        if (at < text.size() && text[at] == '"') {
            for (++at; at < text.size() && text[at] != '"'; ++at) {
                if (text[at] == '\\' && at + 1 < text.size())
                    ++at;
                value += text[at];
            }
            if (at++ >= text.size())
                return wrong();
        } else {
            while (at < text.size() && text[at] != ',' && !is_space(text[at]))
                value += text[at++];
        }
        found.try_emplace(std::move(name), std::move(value));
    }
    return found;
}

std::string quoted(std::string_view text)
{
    std::string made = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            made += '\\';
        made += c;
    }
    return made + '"';
}

/// RFC 2831 2.1.2.1: a name that fits in ISO 8859-1 is hashed so.
std::string hashed_form(const std::string& utf8)
{
    std::string narrow;
    for (std::size_t i = 0; i < utf8.size(); ++i) {
        const auto c = static_cast<unsigned char>(utf8[i]);
        if (c < 0x80)
            narrow += static_cast<char>(c);
        else if ((c == 0xC2 || c == 0xC3) && i + 1 < utf8.size() && (static_cast<unsigned char>(utf8[i + 1]) & 0xC0U) == 0x80)
            narrow += static_cast<char>(((c & 0x03U) << 6U) | (static_cast<unsigned char>(utf8[++i]) & 0x3FU));
        else
            return utf8;
    }
    return narrow;
}

class DigestMd5 final : public Mechanism {
public:
    DigestMd5(const Credentials& credentials, const Server& server, std::string nonce)
        : credentials_(credentials), uri_(server.service + "/" + server.host), cnonce_(std::move(nonce))
    {
    }
    std::optional<std::string> initial() override { return std::nullopt; }

    Result<std::string> answer(std::string_view challenge) override
    {
        if (proved_)
            return check(challenge);
        TRY(const auto said, directives(challenge));
        const auto value = [&](const char* name) {
            const auto at = said.find(name);
            return at == said.end() ? std::string{} : at->second;
        };
        const std::string nonce = value("nonce");
        if (nonce.empty() || !iequals(value("algorithm"), "md5-sess"))
            return Error("the server's DIGEST-MD5 challenge lacks a nonce, or algorithm=md5-sess");
        bool auth = !said.contains("qop");
        for (const std::string_view one : split(value("qop"), ", \t"))
            auth = auth || iequals(one, "auth");
        if (!auth)
            return Error("the server's DIGEST-MD5 challenge wants a security layer");
        const std::string realm = value("realm");
        const bool utf8 = iequals(value("charset"), "utf-8");
        std::string secret = md5(fmt::format("{}:{}:{}", hashed_form(credentials_.username), hashed_form(realm), hashed_form(credentials_.password)));
        secret += fmt::format(":{}:{}", nonce, cnonce_);
        if (credentials_.say_authzid)
            secret += ":" + credentials_.username;
        key_ = hex(md5(secret));
        between_ = fmt::format("{}:00000001:{}:auth", nonce, cnonce_);
        proved_ = true;
        std::string text = utf8 ? "charset=utf-8," : "";
        text += fmt::format("username={},", quoted(credentials_.username));
        if (said.contains("realm"))
            text += fmt::format("realm={},", quoted(realm));
        text += fmt::format("nonce={},nc=00000001,cnonce={},digest-uri={},response={},qop=auth", quoted(nonce), quoted(cnonce_), quoted(uri_),
                            response("AUTHENTICATE:"));
        if (credentials_.say_authzid)
            text += fmt::format(",authzid={}", quoted(credentials_.username));
        return text;
    }

    Result<void> finished() override
    {
        if (!known_)
            return Error("the server accepted without proving that it knows the password");
        return {};
    }

private:
    std::string response(std::string_view method) const
    {
        return hex(md5(fmt::format("{}:{}:{}", key_, between_, hex(md5(fmt::format("{}{}", method, uri_))))));
    }

    Result<std::string> check(std::string_view challenge)
    {
        TRY(const auto said, directives(challenge));
        const auto at = said.find("rspauth");
        if (known_ || at == said.end() || !tls::same_octets(to_lower(at->second), response(":")))
            return Error("the server does not know the password");
        known_ = true;
        return std::string{};
    }

    Credentials credentials_;
    std::string uri_, cnonce_, key_, between_;
    bool proved_ = false, known_ = false;
};

}  // namespace

std::unique_ptr<Mechanism> digest_md5(const Credentials& credentials, const Server& server, std::string nonce)
{
    return std::make_unique<DigestMd5>(credentials, server, std::move(nonce));
}

}  // namespace posthorn::sasl
