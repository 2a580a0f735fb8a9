// send/search_names.hpp: names as people of this network write them: with the domains of resolv.conf behind them.      postconf(5), smtp_dns_resolver_options
// Words    res_defnames: the first domain behind names without a dot. res_dnsrch: names with a dot that are not found are tried with each domain behind
//          them. Both: names without a dot with each domain. What is found first counts; a name server that has no answer ends the search: it is no word
//          that there is no such name.
// Trust    whoever owns a domain of the list may answer for names that somebody else meant.
#pragma once

#include "send/names.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::send {

struct SearchRules {
    bool short_names = false, all_names = false;  // res_defnames, res_dnsrch
    bool any() const { return short_names || all_names; }
};
/// Error: a word that is neither.
Result<SearchRules> parse_search_rules(std::string_view words);
/// What is asked for instead of `name`, in this order.
std::vector<std::string> searched(std::string_view name, SearchRules rules, const std::vector<std::string>& domains);

class SearchNames final : public Names {
public:
    SearchNames(Names& names, SearchRules rules, std::vector<std::string> domains) : names_(names), rules_(rules), domains_(std::move(domains)) {}
    awaitable<dns::Answer> mx(std::string domain) override;
    awaitable<dns::Addresses> addresses(std::string host, dns::Families families) override;
    /// As it is: such names are made of hosts that were found.
    awaitable<dns::Answer> query(std::string name, dns::Type type) override { return names_.query(std::move(name), type); }

private:
    Names& names_;
    SearchRules rules_;
    std::vector<std::string> domains_;
};

}  // namespace posthorn::send
