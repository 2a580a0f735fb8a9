// deliver/targets.hpp: what an alias, a .forward or an :include: file leads to.                               aliases(5), local(8)
// Shape    members between commas and line ends: address, "|command", /file/name, :include:/file/name; "..." around what has blanks or commas.
//          Lines that begin with # are comments, lines that begin with a blank continue the one before.
// Trust    none in what is said: it is a value. Limits: a text of more than targets_limit octets or members is an Error.
// Pure.
#pragma once

#include "base/error.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::deliver {

struct Target {
    enum class Kind { address, command, file, include };
    Target(Kind what, std::string text) : kind(what), value(std::move(text)) {}
    bool operator==(const Target&) const = default;

    Kind kind;
    std::string value;                       // address in internal form, with a \ in front where it had one; command; path
};

inline constexpr std::size_t targets_limit = 1U << 20, targets_count = 50'000;

Result<std::vector<Target>> parse_targets(std::string_view text);

}  // namespace posthorn::deliver
