// receive/screen/rank.hpp: lists in the DNS with weights, and what a client comes to in them. Pure.        postconf(5) postscreen_dnsbl_sites
// Shape    "domain[=pattern][*weight]" between commas and blanks; patterns as in policy/dns_list.hpp, weights may be negative. A domain that
//          stands there several times is asked once.
// Errors   name what is wrong with which word.
#pragma once

#include "dns/record.hpp"
#include "receive/policy/dns_list.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace posthorn::receive::screen {

struct RankedDomain {
    struct Rule {
        policy::DnsList list;
        int weight = 1;
    };
    std::string domain;
    std::vector<Rule> rules;                      // at least one
};

Result<std::vector<RankedDomain>> parse_sites(std::string_view text);

/// The sum so far. Each rule of a domain counts once, whatever number of answers it fits.
class Rank {
public:
    void add(const RankedDomain& domain, const dns::Answer& answer);
    int sum() const { return sum_; }
    /// The domain whose rule weighs most among those that fit: what the client is told. Empty: none.
    const std::string& heaviest() const { return heaviest_; }
    /// How long that counts: the shortest life of an answer, within these bounds; the longest where nothing was answered.
    std::chrono::seconds life(std::chrono::seconds least, std::chrono::seconds most) const;

private:
    int sum_ = 0, weight_ = 0;
    std::string heaviest_;
    std::chrono::seconds life_ = std::chrono::seconds::max();
};

}  // namespace posthorn::receive::screen
