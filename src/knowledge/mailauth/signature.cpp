#include "mailauth/signature.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

namespace posthorn::mailauth {

namespace {

constexpr std::size_t line_limit = 76;

/// `words` behind `line`, parted by `between`, in lines that are no longer than they must be.
void fold(std::string& text, const std::vector<std::string>& words, std::string_view between)
{
    std::size_t line = text.size() - (text.rfind('\n') == text.npos ? 0 : text.rfind('\n') + 1);
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string_view after = i + 1 < words.size() ? between : std::string_view();
        if (i > 0 && line + words[i].size() + after.size() > line_limit) {
            if (text.ends_with(' '))
                text.pop_back();
            text += "\r\n\t ";
            line = 2;
        }
        text += words[i];
        text += after;
        line += words[i].size() + after.size();
    }
}

std::vector<std::string> pieces(std::string_view text)
{
    std::vector<std::string> made;
    for (; !text.empty(); text.remove_prefix(std::min<std::size_t>(text.size(), 60)))
        made.emplace_back(text.substr(0, 60));
    return made;
}

constexpr std::string_view name_of(Canonical how) { return how == Canonical::relaxed ? "relaxed" : "simple"; }

std::string algorithm_of(const Signature& signature)
{
    return fmt::format("a={}-sha256", signature.algorithm == tls::SigningKey::Kind::rsa ? "rsa" : "ed25519");
}

}  // namespace

std::vector<std::string> fields_to_sign(std::string_view head, const std::vector<std::string>& wanted, const std::vector<std::string>& more)
{
    std::map<std::string, std::size_t, std::less<>> there;
    message::HeaderWalk walk(head);
    while (const auto field = walk.next())
        ++there[to_lower(field->name)];
    const auto in = [](const std::vector<std::string>& list, const std::string& name) { return std::ranges::find(list, name) != list.end(); };
    std::vector<std::string> all = wanted, names;
    std::ranges::copy_if(more, std::back_inserter(all), [&](const std::string& name) { return !in(wanted, name); });
    for (const std::string& name : all) {
        const auto found = there.find(name);
        names.insert(names.end(), (found == there.end() ? 0 : found->second) + (in(more, name) ? 1 : 0), name);
    }
    return names;
}

std::string unsigned_field(const Signature& signature)
{
    const auto seconds = signature.made_at.time_since_epoch().count();
    std::vector<std::string> tags{
        signature.instance == 0 ? "v=1" : fmt::format("i={}", signature.instance),
        algorithm_of(signature),
        fmt::format("c={}/{}", name_of(signature.header), name_of(signature.body)),
        "d=" + signature.domain,
        "s=" + signature.selector,
        fmt::format("t={}", seconds),
    };
    if (signature.valid_for.count() > 0)
        tags.push_back(fmt::format("x={}", seconds + signature.valid_for.count()));
    std::string text = signature.instance == 0 ? "DKIM-Signature: " : "ARC-Message-Signature: ";
    fold(text, tags, "; ");
    text += ";\r\n\th=";
    fold(text, signature.fields, ":");
    text += ";\r\n\tbh=" + base64_encode(signature.body_hash) + ";\r\n\tb=";
    return text;
}

std::string unsigned_seal(const Signature& signature, std::string_view status)
{
    std::string text = "ARC-Seal: ";
    const std::vector<std::string> tags{
        fmt::format("i={}", signature.instance),
        algorithm_of(signature),
        fmt::format("cv={}", status),
        "d=" + signature.domain,
        "s=" + signature.selector,
        fmt::format("t={}", signature.made_at.time_since_epoch().count()),
    };
    fold(text, tags, "; ");
    return text + ";\r\n\tb=";
}

std::string octets_to_sign(std::string_view head, const Signature& signature, std::string_view unsigned_field)
{
    std::map<std::string, std::vector<std::string_view>, std::less<>> fields;
    message::HeaderWalk walk(head);
    while (const auto field = walk.next())
        fields[to_lower(field->name)].push_back(field->whole);
    std::string octets;
    for (const std::string& name : signature.fields) {
        const auto found = fields.find(name);
        if (found == fields.end() || found->second.empty())
            continue;                                                      // signed as not there
        octets += canonical_field(found->second.back(), signature.header);
        octets += "\r\n";
        found->second.pop_back();
    }
    octets += canonical_field(unsigned_field, signature.header);
    return octets;
}

std::string signed_field(std::string unsigned_field, std::string_view signature_octets)
{
    fold(unsigned_field, pieces(base64_encode(signature_octets)), "");
    unsigned_field += "\r\n";
    return unsigned_field;
}

}  // namespace posthorn::mailauth
