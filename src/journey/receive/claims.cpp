#include "receive/claims.hpp"

#include "base/strings.hpp"
#include "net/address.hpp"
#include "smtp/path.hpp"
#include "smtp/xtext.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive {

namespace {

std::string refused(std::string_view what, std::string_view value) { return fmt::format("501 5.5.4 {}: {}", what, printable(value.substr(0, 100))); }

bool is_port(std::string_view value)
{
    return !value.empty() && value.size() <= 5 && value.find_first_not_of("0123456789") == value.npos && std::stoul(std::string(value)) <= 65535;
}

}  // namespace

std::expected<std::vector<Claim>, std::string> parse_claims(ClaimKind kind, std::string_view arguments)
{
    const std::string_view verb = kind == ClaimKind::xclient ? "XCLIENT" : "XFORWARD";
    const auto words = split(arguments, " \t");
    if (words.empty())
        return std::unexpected(fmt::format("501 5.5.4 Syntax: {} attribute=value...", verb));
    const auto known = split(kind == ClaimKind::xclient ? xclient_words : xforward_words, " ");
    std::vector<Claim> claims;
    for (const std::string_view word : words) {
        const std::size_t equals = word.find('=');
        if (equals == word.npos || equals == 0)
            return std::unexpected(std::string("501 5.5.4 Error: attribute=value expected"));
        Claim claim{to_upper(word.substr(0, equals)), {}};
        if (std::ranges::find(known, claim.name) == known.end())
            return std::unexpected(refused(fmt::format("Bad {} attribute name", verb), claim.name));
        auto value = smtp::xtext_decode(word.substr(equals + 1));
#ifdef POSTHORN_PLANT_BUG_claims  // a CR is let through (scripts/fuzz-planted)
        if (!value || value->size() > 255 || value->find_first_of(std::string_view("\0\n", 2)) != value->npos)
#else
        if (!value || value->size() > 255 || value->find_first_of(std::string_view("\0\r\n", 3)) != value->npos)
#endif
            return std::unexpected(refused("Bad attribute value syntax", word.substr(equals + 1)));
        if (!iequals(*value, "[UNAVAILABLE]") && !iequals(*value, "[TEMPUNAVAIL]")) {
            const bool name = claim.name == "NAME" || claim.name == "REVERSE_NAME";
            if (name && !smtp::is_valid_hostname(*value))
                return std::unexpected(refused("Bad hostname syntax", *value));
            if (claim.name == "ADDR" || claim.name == "DESTADDR") {
                const auto address = value->starts_with('[') ? std::nullopt : net::IpAddress::parse(*value);
                if (!address)
                    return std::unexpected(refused("Bad address syntax", *value));
                value = address->text();
            }
            if ((claim.name == "PORT" || claim.name == "DESTPORT") && !is_port(*value))
                return std::unexpected(refused("Bad port syntax", *value));
            if (claim.name == "PROTO" && kind == ClaimKind::xclient && !iequals(*value, "SMTP") && !iequals(*value, "ESMTP"))
                return std::unexpected(refused("Bad protocol syntax", *value));
            if (claim.name == "SOURCE" && !iequals(*value, "LOCAL") && !iequals(*value, "REMOTE"))
                return std::unexpected(refused("Bad source syntax", *value));
            claim.value = std::move(value);
        } else
            claim.later = iequals(*value, "[TEMPUNAVAIL]");
        claims.push_back(std::move(claim));
    }
    return claims;
}

}  // namespace posthorn::receive
