#include "receive/screen/rank.hpp"

#include "base/strings.hpp"
#include "dns/record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace posthorn::receive::screen {

Result<std::vector<RankedDomain>> parse_sites(std::string_view text)
{
    std::vector<RankedDomain> domains;
    for (const std::string_view word : split(text, ", \t\r\n")) {
        int weight = 1;
        const auto star = word.rfind('*');
        if (star != std::string_view::npos) {
            std::string_view digits = word.substr(star + 1);
            const bool negative = digits.starts_with('-');
            if (negative || digits.starts_with('+'))
                digits.remove_prefix(1);
            const auto number = parse_number(digits);
            if (!number || *number > static_cast<std::uint64_t>(std::numeric_limits<int>::max()))
                return Error{fmt::format("bad DNSBL weight factor \"{}\" in \"{}\"", word.substr(star + 1), word)};
            weight = negative ? -static_cast<int>(*number) : static_cast<int>(*number);
        }
        auto list = policy::DnsList::parse(word.substr(0, star));
        if (!list)
            return Error{fmt::format("bad DNSBL filter syntax: {} in \"{}\"", list.error().text(), word)};
        if (!dns::is_hostname(list->domain()))
            return Error{fmt::format("bad DNSBL domain name \"{}\" in \"{}\"", list->domain(), word)};
        auto found = std::ranges::find(domains, list->domain(), &RankedDomain::domain);
        if (found == domains.end())
            found = domains.insert(domains.end(), RankedDomain{list->domain(), {}});
        found->rules.push_back({*std::move(list), weight});
    }
    return domains;
}

void Rank::add(const RankedDomain& domain, const dns::Answer& answer)
{
    if (answer.transient())
        return;
    life_ = std::min(life_, answer.ttl);
    for (const RankedDomain::Rule& rule : domain.rules) {
        if (std::ranges::none_of(answer.records,
                                 [&](const dns::Record& record) { return record.type == dns::Type::a && rule.list.counts(record.address); }))
            continue;
        sum_ += rule.weight;
        if (heaviest_.empty() || weight_ < rule.weight) {
            heaviest_ = domain.domain;
            weight_ = rule.weight;
        }
    }
}

std::chrono::seconds Rank::life(std::chrono::seconds least, std::chrono::seconds most) const { return std::max(least, std::min(most, life_)); }

}  // namespace posthorn::receive::screen
