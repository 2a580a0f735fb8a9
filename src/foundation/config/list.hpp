// config/list.hpp: a list value, parsed but not matched (matching is tables/).        postconf(5): mynetworks, mydestination
// Shape    members between commas and white space; each may begin with "!" (once or more: they toggle).
//          "/path": a file whose lines are members; "type:name": a lookup table; "{ a, b }": one member, braces removed.
// Owns     its text. Errors: none (whatever is written is a member; `tables` judges types and paths).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::config {

struct ListMember {
    enum class Kind : std::uint8_t { text, file, table };
    Kind kind = Kind::text;
    bool negated = false;
    std::string text;                             // without "!"; for a table "type:name", for a file its path
    friend bool operator==(const ListMember&, const ListMember&) = default;
};

using List = std::vector<ListMember>;

List parse_list(std::string_view text);

/// The pieces of `text` between commas and white space; a { group } or a "{" inside a piece ("inline:{a=b, c=d}") keeps what it encloses.
std::vector<std::string_view> split_grouped(std::string_view text, std::string_view separators = ", \t\r\n");

}  // namespace posthorn::config
