// policy/dns_list.hpp: lists of addresses and domains in the DNS, as reject_rbl_client names them. Pure.   postconf(5), RFC 5782
// Shape    "list.example", or with the answers that count "list.example=127.0.0.[2;4..8]": each number of the address is one number,
//          or numbers and ranges between brackets.
// Errors   name what is wrong with the pattern.
#pragma once

#include "base/error.hpp"
#include "net/address.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posthorn::receive::policy {

class DnsList {
public:
    static Result<DnsList> parse(std::string_view text);

    const std::string& domain() const { return domain_; }
    /// "2.0.0.127.list.example"; nibbles for IPv6.
    std::string query_for(const net::IpAddress& client) const;
    /// "bad.example.list.example". None for what no such list is asked about: address literals, names whose last label is a number.
    std::optional<std::string> query_for(std::string_view name_or_address) const;
    /// Whether an answer says "listed".
    bool counts(const net::IpAddress& answer) const;

private:
    using Numbers = std::vector<std::pair<int, int>>;
    std::string domain_;
    std::optional<std::array<Numbers, 4>> pattern_;
};

}  // namespace posthorn::receive::policy
