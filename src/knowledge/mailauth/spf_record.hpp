// mailauth/spf_record.hpp: the record in which a domain says who sends its mail.                              RFC 7208 4.5, 4.6.1, 5, 6, 12
// Errors   a syntax error anywhere is one of the whole record; the text says which term.
// Bounds   a record of more than 8 KiB (RFC 7208 3.4 asks for fewer than 512 octets) is an Error.
// Pure. Trust: none.
#pragma once

#include "base/error.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

struct SpfMechanism {
    enum class Kind : std::uint8_t { all, include, a, mx, ptr, ip4, ip6, exists };
    Kind kind = Kind::all;
    char qualifier = '+';
    std::string domain_spec;                        // not expanded; empty: the domain itself
    unsigned prefix4 = 32, prefix6 = 128;           // how many bits of an address count
    std::array<char, 16> network{};                 // of ip4 the first four octets
    bool operator==(const SpfMechanism&) const = default;
};

struct SpfRecord {
    std::vector<SpfMechanism> mechanisms;
    std::optional<std::string> redirect, exp;       // domain-specs
    bool operator==(const SpfRecord&) const = default;
};

/// "v=spf1" alone or with a space behind it.
bool is_spf_record(std::string_view text);
/// `text` is one that is_spf_record() took.
Result<SpfRecord> parse_spf_record(std::string_view text);

}  // namespace posthorn::mailauth
