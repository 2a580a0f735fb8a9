#include "receive/policy/dns_list.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive::policy {

namespace {

std::optional<int> octet(std::string_view text)
{
    const auto number = text.size() > 3 ? std::nullopt : parse_number(text);
    return number && *number <= 255 ? std::optional(static_cast<int>(*number)) : std::nullopt;
}

}  // namespace

Result<DnsList> DnsList::parse(std::string_view text)
{
    DnsList list;
    const auto equals = text.find('=');
    list.domain_ = text.substr(0, equals);
    if (list.domain_.empty())
        return Error{"the domain is missing"};
    if (equals == std::string_view::npos)
        return list;
    std::string_view rest = text.substr(equals + 1);
    const auto wrong = [&](std::string_view why) { return Error{fmt::format("bad address pattern \"{}\": {}", text.substr(equals + 1), why)}; };
    auto& pattern = list.pattern_.emplace();
    for (std::size_t part = 0; part < pattern.size(); ++part) {
        if (part > 0) {
            if (!rest.starts_with('.'))
                return wrong("expected four numbers or [lists] with dots between them");
            rest.remove_prefix(1);
        }
        Numbers& numbers = pattern[part];
        if (!rest.starts_with('[')) {
            const auto end = std::min(rest.find('.'), rest.size());
            const auto number = octet(rest.substr(0, end));
            if (!number)
                return wrong("expected a number from 0 to 255");
            numbers.emplace_back(*number, *number);
            rest.remove_prefix(end);
            continue;
        }
        const auto close = rest.find(']');
        if (close == std::string_view::npos)
            return wrong("\"]\" is missing");
        for (std::string_view piece : split_exact(rest.substr(1, close - 1), ';')) {
            const auto dots = piece.find("..");
            const auto first = octet(piece.substr(0, dots));
            const auto last = dots == std::string_view::npos ? first : octet(piece.substr(dots + 2));
            if (!first || !last || *first > *last)
                return wrong("expected numbers from 0 to 255, or ranges low..high, between \";\"");
            numbers.emplace_back(*first, *last);
        }
        rest.remove_prefix(close + 1);
    }
    if (!rest.empty())
        return wrong("text behind the fourth number");
    return list;
}

std::string DnsList::query_for(const net::IpAddress& client) const
{
    const std::string reverse = client.reverse_name();
    const std::string_view zone = client.is_v6() ? "ip6.arpa" : "in-addr.arpa";
    return std::string(reverse.substr(0, reverse.size() - zone.size())) + domain_;
}

std::optional<std::string> DnsList::query_for(std::string_view name_or_address) const
{
    const auto at = name_or_address.rfind('@');
    const std::string_view name = at == std::string_view::npos ? name_or_address : name_or_address.substr(at + 1);
    if (name.empty() || name.starts_with('['))
        return std::nullopt;
    const std::string_view last = name.substr(name.rfind('.') + 1);
    if (std::ranges::all_of(last, is_digit))
        return std::nullopt;
    return fmt::format("{}.{}", name, domain_);
}

bool DnsList::counts(const net::IpAddress& answer) const
{
    if (!pattern_)
        return true;
#ifndef POSTHORN_PLANT_BUG_policy_words  // without it an IPv6 address is held against a pattern of IPv4 (scripts/fuzz-planted)
    if (answer.is_v6())
        return false;
#endif
    for (std::size_t part = 0; part < 4; ++part) {
        const int number = static_cast<unsigned char>(answer.octets()[part]);
        if (std::ranges::none_of((*pattern_)[part], [&](const auto& range) { return range.first <= number && number <= range.second; }))
            return false;
    }
    return true;
}

}  // namespace posthorn::receive::policy
