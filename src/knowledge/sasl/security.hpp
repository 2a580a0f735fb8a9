// sasl/security.hpp: what a mechanism protects against, and what a configuration asks of it.       RFC 4422, postconf(5)
// Words    "noplaintext, noanonymous": what may not be. A mechanism fits that has every property that is asked for.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <string_view>

namespace posthorn::sasl {

enum class Property : std::uint8_t {
    no_plaintext = 1,       // who listens does not learn the password
    no_active = 2,          // nor who changes what is said
    no_dictionary = 4,      // nor who guesses offline
    no_anonymous = 8,       // it names somebody
    mutual_auth = 16,       // the server proves itself too
    forward_secrecy = 32,
};

class Properties {
public:
    constexpr Properties() = default;
    constexpr Properties(std::initializer_list<Property> all)
    {
        for (const Property one : all)
            bits_ = static_cast<std::uint8_t>(bits_ | static_cast<std::uint8_t>(one));
    }
    constexpr bool includes(Properties wanted) const { return (bits_ & wanted.bits_) == wanted.bits_; }
    constexpr void add(Property one) { bits_ = static_cast<std::uint8_t>(bits_ | static_cast<std::uint8_t>(one)); }
    bool operator==(const Properties&) const = default;
    /// For frames.
    std::uint8_t bits() const { return bits_; }
    static Properties from_bits(std::uint8_t bits)
    {
        Properties made;
        made.bits_ = bits;
        return made;
    }

private:
    std::uint8_t bits_ = 0;
};

/// "noplaintext, noanonymous" as in smtp_sasl_security_options. An unknown word is an Error that names it.
Result<Properties> parse_properties(std::string_view words);

}  // namespace posthorn::sasl
