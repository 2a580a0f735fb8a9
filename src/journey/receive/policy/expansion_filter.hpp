// policy/expansion_filter.hpp: which octets of what a $name stands for may be said to a client (smtpd_expansion_filter). Pure.
// Shape    the octets that may, with the escapes of C: \t, \40 (octal); a backslash before anything else says that itself. All others become "_".
#pragma once

#include <bitset>
#include <string>
#include <string_view>

namespace posthorn::receive::policy {

class ExpansionFilter {
public:
    /// All of them may.
    ExpansionFilter() { allowed_.set(); }
    explicit ExpansionFilter(std::string_view written);

    std::string operator()(std::string_view value) const;

private:
    std::bitset<256> allowed_;
};

}  // namespace posthorn::receive::policy
