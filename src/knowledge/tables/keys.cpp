#include "tables/keys.hpp"

#include "base/strings.hpp"

namespace posthorn::tables {

AddressParts split_address(std::string_view address)
{
    const std::size_t at = address.rfind('@');
    if (at == address.npos)
        return {address, {}, false};
    return {address.substr(0, at), address.substr(at + 1), true};
}

std::size_t extension_at(std::string_view local, const Delimiter& delimiter)
{
    if (delimiter.characters.empty() || iequals(local, "postmaster") || iequals(local, "mailer-daemon") || iequals(local, delimiter.double_bounce))
        return local.npos;
    if (delimiter.owner_request_special && delimiter.characters.find('-') != std::string::npos &&
        (istarts_with(local, "owner-") || iends_with(local, "-request")))
        return local.npos;
    const std::size_t at = local.find_first_of(delimiter.characters);
    return at == 0 ? local.npos : at;
}

std::string quote_local(std::string_view local)
{
    const auto is_atext = [](char c) {
        return is_alnum(c) || static_cast<unsigned char>(c) >= 0x80 || std::string_view("!#$%&'*+-/=?^_`{|}~.").find(c) != std::string_view::npos;
    };
    const bool plain =
        !local.empty() && std::ranges::all_of(local, is_atext) && local.front() != '.' && local.back() != '.' && local.find("..") == local.npos;
    if (plain)
        return std::string(local);
    std::string quoted = "\"";
    for (const char c : local) {
        if (c == '"' || c == '\\')
            quoted += '\\';
        quoted += c;
    }
    return quoted + '"';
}

std::string quote_address(std::string_view address)
{
    const AddressParts parts = split_address(address);
    std::string quoted = parts.local.empty() && !parts.has_domain ? "" : quote_local(parts.local);
    if (parts.has_domain)
        quoted.append("@").append(parts.domain);
    return quoted;
}

std::vector<std::string_view> domain_keys(std::string_view domain, bool parent_style)
{
    std::vector<std::string_view> keys;
    if (domain.empty())
        return keys;
    keys.push_back(domain);
    for (std::size_t at = domain.find('.', 1); at != domain.npos && at + 1 < domain.size(); at = domain.find('.', at + 1))
        keys.push_back(domain.substr(parent_style ? at + 1 : at));
    return keys;
}

}  // namespace posthorn::tables
