#include "send/search_names.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::send {

Result<SearchRules> parse_search_rules(std::string_view words)
{
    SearchRules rules;
    for (const std::string_view word : split(words, ", \t\r\n"))
        if (word == "res_defnames")
            rules.short_names = true;
        else if (word == "res_dnsrch")
            rules.all_names = true;
        else
            return Error{fmt::format("unknown name: {}", printable(word))};
    return rules;
}

std::vector<std::string> searched(std::string_view name, SearchRules rules, const std::vector<std::string>& domains)
{
    const bool is_short = name.find('.') == name.npos;
    std::vector<std::string> names;
    if (name.ends_with('.') || (is_short ? !rules.short_names : !rules.all_names))
        return {std::string(name)};
    if (!is_short)
        names.emplace_back(name);
    for (const std::string& domain : domains) {
        names.push_back(fmt::format("{}.{}", name, domain));
        if (!rules.all_names)
            break;
    }
    if (is_short)
        names.emplace_back(name);
    return names;
}

awaitable<dns::Answer> SearchNames::mx(std::string domain)
{
    dns::Answer answer;
    for (const std::string& name : searched(domain, rules_, domains_)) {
        answer = co_await names_.mx(name);
        if (answer.status != dns::Status::nxdomain)
            break;                                                  // a name without MX records is a name all the same
    }
    co_return answer;
}

awaitable<dns::Addresses> SearchNames::addresses(std::string host, dns::Families families)
{
    dns::Addresses answer;
    for (const std::string& name : searched(host, rules_, domains_)) {
        answer = co_await names_.addresses(name, families);
        if (answer.status != dns::Status::nxdomain)
            break;
    }
    co_return answer;
}

}  // namespace posthorn::send
