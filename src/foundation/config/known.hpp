// config/known.hpp: every Postfix parameter of the 3.11 line, whether or not a room of ours reads it.
// Shape    sorted by name (in octets); made from known_parameters.tsv by scripts/known-parameters.
//          `initial` "(site)" is computed on the host or chosen by the installation: site.hpp.
//          `debian` is the default of Debian's 3.7 where it differs; "-": not known there.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "config/param.hpp"

namespace posthorn::config {

enum class KnownKind : std::uint8_t { boolean, integer, time, size, text, raw, other };

struct KnownParameter {
    std::string_view name;
    KnownKind kind;
    std::int64_t least, most;                     // most 0: no upper limit
    std::string_view initial, debian;
};

std::span<const KnownParameter> known_parameters();
/// nullptr where there is no such name. O(1).
const KnownParameter* known(std::string_view name);

/// How a declaration differs from Postfix's table (name, kind, default, limits); empty where it does not, or is our own.
std::string disagreement(const ParamInfo& info);

}  // namespace posthorn::config
