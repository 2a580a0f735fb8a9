// mailauth/arc_sets.hpp: the fields of a chain of seals, by the sets that they are of, and what a seal signs of them.             RFC 8617 3.1, 4.2
// Shape    `head`: the fields of a message, to its empty line or beyond.
// Owns     nothing: views into the head. Pure. Trust: none.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

enum ArcPart : std::uint8_t { of_results, of_message, of_seal };
inline constexpr std::array<std::string_view, 3> arc_fields{"ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"};
inline constexpr std::size_t most_arc_sets = 50;    // RFC 8617 4.2.1

bool is_arc_field(std::string_view name);

struct ArcFields {
    std::array<std::string_view, 3> whole, body;    // by ArcPart; empty: it is not there
};

struct ArcSets {
    explicit ArcSets(std::string_view head);

    std::vector<ArcFields> sets;                    // by instance, from 1 to the highest, or the fifty that there may be
    std::size_t highest = 0;                        // instance of any field; 0: none has one
    std::string problem;                            // the first field that cannot be read, or whose place is taken; empty: there is none
};

/// The fields of a set as seals sign them, `seal` without its signature or whole, without the last line end.             RFC 8617 5.1.1
std::string arc_octets(std::string_view results, std::string_view message, std::string_view seal);

/// Of all fields of the chain in the order in which they stand: it differs where a chain does. Empty: there is none.
std::string arc_digest(std::string_view head);

}  // namespace posthorn::mailauth
