#include "receive/policy/expansion_filter.hpp"

#include <algorithm>

namespace posthorn::receive::policy {

namespace {

/// What stands behind a backslash: one octet, and what it took is gone from `rest`.
unsigned char escaped_octet(std::string_view& rest)
{
    constexpr std::string_view letters = "abfnrtv", values = "\a\b\f\n\r\t\v";
    unsigned value = 0;
    std::size_t digits = 0;
    for (; digits < 3 && digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '7'; ++digits)
        value = value * 8 + static_cast<unsigned>(rest[digits] - '0');
    if (digits > 0) {
        rest.remove_prefix(digits);
        return static_cast<unsigned char>(value);
    }
    const char c = rest.front();
    rest.remove_prefix(1);
    const auto letter = letters.find(c);
    return static_cast<unsigned char>(letter == letters.npos ? c : values[letter]);
}

}  // namespace

ExpansionFilter::ExpansionFilter(std::string_view written)
{
    while (!written.empty()) {
        const char c = written.front();
        written.remove_prefix(1);
        allowed_.set(c == '\\' && !written.empty() ? escaped_octet(written) : static_cast<unsigned char>(c));
    }
}

std::string ExpansionFilter::operator()(std::string_view value) const
{
    std::string made(value);
    std::ranges::replace_if(made, [this](char c) { return !allowed_.test(static_cast<unsigned char>(c)); }, '_');
    return made;
}

}  // namespace posthorn::receive::policy
