#include "sasl/security.hpp"

#include "base/strings.hpp"

#include <algorithm>
#include <array>

namespace posthorn::sasl {

Result<Properties> parse_properties(std::string_view words)
{
    struct Word {
        std::string_view text;
        Property property;
    };
    static constexpr std::array known{Word{"noplaintext", Property::no_plaintext},   Word{"noactive", Property::no_active},
                                      Word{"nodictionary", Property::no_dictionary}, Word{"noanonymous", Property::no_anonymous},
                                      Word{"mutual_auth", Property::mutual_auth},    Word{"forward_secrecy", Property::forward_secrecy}};
    Properties made;
    for (const std::string_view word : split(words, ", \t\r\n")) {
        const auto* const found = std::ranges::find(known, word, &Word::text);
        if (found == known.end())
            return Error("unknown security option \"" + std::string(word) + "\"");
        made.add(found->property);
    }
    return made;
}

}  // namespace posthorn::sasl
