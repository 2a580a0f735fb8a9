#include "mailauth/dkim_key.hpp"

#include "base/strings.hpp"
#include "mailauth/tags.hpp"

#include <algorithm>

namespace posthorn::mailauth {

namespace {

constexpr int least_rsa_bits = 1024, most_rsa_bits = 8192;

bool lists(std::string_view value, std::string_view word)
{
    return std::ranges::any_of(colon_words(value), [&](std::string_view one) { return iequals(one, word); });
}

}  // namespace

Result<DkimKey> DkimKey::parse(std::string_view record)
{
    const auto tags = TagList::parse(record);
    if (!tags)
        return Error{"malformed key"};
    // What does not begin with it where it has it is no record of a key.
    if (const auto version = tags->find("v"); version && (*version != "DKIM1" || tags->all().front().name != "v"))
        return Error{"unknown version of key"};
    DkimKey key;
    if (const auto kind = tags->find("k").value_or("rsa"); iequals(kind, "ed25519"))
        key.kind = tls::SigningKey::Kind::ed25519;
    else if (!iequals(kind, "rsa"))
        return Error{"unknown kind of key"};
    const auto octets = tags->find("p");
    if (!octets)
        return Error{"malformed key"};
    auto decoded = base64_decode(without_space(*octets));
    if (!decoded)
        return Error{"malformed key"};
    key.octets = *std::move(decoded);
    if (const auto hashes = tags->find("h"))
        key.sha256 = lists(*hashes, "sha256");
    if (const auto services = tags->find("s"))
        key.for_mail = lists(*services, "*") || lists(*services, "email");
    const std::string_view flags = tags->find("t").value_or("");
    key.testing = lists(flags, "y");
    key.same_domain = lists(flags, "s");
    return key;
}

bool DkimKey::is_fit(int bits) const { return kind != tls::SigningKey::Kind::rsa || (bits >= least_rsa_bits && bits <= most_rsa_bits); }

}  // namespace posthorn::mailauth
