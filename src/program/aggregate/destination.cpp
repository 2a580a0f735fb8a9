#include "aggregate/destination.hpp"

#include "base/strings.hpp"
#include "net/http_client.hpp"
#include "smtp/path.hpp"

#include <algorithm>
#include <limits>
#include <optional>

namespace posthorn::aggregate {

namespace {

constexpr std::size_t most_destinations = 10;

/// RFC 3986 2.1; none where a "%" is no escape.
std::optional<std::string> percent_decoded(std::string_view text)
{
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            out += text[at];
            continue;
        }
        constexpr std::string_view digits = "0123456789abcdef";
        const std::size_t high = at + 2 < text.size() ? digits.find(ascii_lower(text[at + 1])) : digits.npos;
        const std::size_t low = at + 2 < text.size() ? digits.find(ascii_lower(text[at + 2])) : digits.npos;
        if (high == digits.npos || low == digits.npos)
            return std::nullopt;
        out += static_cast<char>(high * 16 + low);
        at += 2;
    }
    return out;
}

/// "10m": with k, m, g or t, which are powers of 1024. None: it is no size.
std::optional<std::uint64_t> octets_of(std::string_view text)
{
    constexpr std::string_view units = "kmgt";
    std::uint64_t unit = 1;
    if (const std::size_t at = text.empty() ? units.npos : units.find(ascii_lower(text.back())); at != units.npos) {
        unit <<= 10 * (at + 1);
        text.remove_suffix(1);
    }
    const auto count = parse_number(text);
    if (!count || *count == 0 || *count > std::numeric_limits<std::uint64_t>::max() / unit)
        return std::nullopt;
    return *count * unit;
}

/// The mailbox of "mailto:user@example.com?subject=...".                                                        RFC 6068
std::optional<std::string> mail_address(std::string_view behind)
{
    const auto decoded = percent_decoded(behind.substr(0, behind.find('?')));
#ifndef POSTHORN_PLANT_BUG_report_destination  // what was decoded is not looked at (scripts/fuzz-planted)
    constexpr std::string_view never = " ,;<>()[]\\\"";
    if (!decoded || !is_ascii(*decoded) || printable(*decoded) != *decoded || decoded->find_first_of(never) != decoded->npos)
        return std::nullopt;
#else
    if (!decoded)
        return std::nullopt;
#endif
    const auto mailbox = smtp::parse_path("<" + *decoded + ">", {.strict = true, .utf8 = false});
    return mailbox && !mailbox->domain.empty() && !mailbox->local.empty() ? std::optional(mailbox->text()) : std::nullopt;
}

}  // namespace

std::string_view tag_of(std::string_view record, std::string_view name)
{
    for (const std::string_view piece : split_exact(record, ';')) {
        const std::size_t equals = piece.find('=');
        if (equals != piece.npos && trim(piece.substr(0, equals)) == name)
            return trim(piece.substr(equals + 1));
    }
    return {};
}

std::vector<Destination> destinations_of(std::string_view list, bool limits)
{
    std::vector<Destination> found;
    for (const std::string_view piece : split_exact(list, ',')) {
        Destination one;
        std::string_view text = trim(piece);
        if (const std::size_t mark = text.rfind('!'); limits && mark != text.npos) {
            const auto most = octets_of(text.substr(mark + 1));
            if (!most)
                continue;
            one.most = *most;
            text = text.substr(0, mark);
        }
        one.text = text;
        if (istarts_with(text, "mailto:")) {
            auto address = mail_address(text.substr(7));
            if (!address)
                continue;
            one.address = *std::move(address);
        } else if (istarts_with(text, "https:") && net::parse_http_url(text))
            one.way = Destination::Way::https;
        else
            continue;
        if (std::ranges::find(found, one.text, &Destination::text) == found.end() && found.size() < most_destinations)
            found.push_back(std::move(one));
    }
    return found;
}

std::string domain_of(const Destination& destination)
{
    return to_lower(std::string_view(destination.address).substr(destination.address.rfind('@') + 1));
}

}  // namespace posthorn::aggregate
