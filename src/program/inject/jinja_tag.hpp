// inject/jinja_tag.hpp: what stands between {% and %}, or {{ and }}, as words. For jinja.cpp alone.
// Errors   as template.hpp's: with line and column.
#pragma once

#include "base/error.hpp"
#include "inject/tree.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::inject {

struct JinjaToken {
    enum class Kind : std::uint8_t { end, name, text, number, sign };
    Kind kind = Kind::end;
    std::size_t offset = 0;
    std::string text = {};                   // unescaped
};

struct JinjaTag {
    std::vector<JinjaToken> tokens;          // the last is the end
    std::size_t end = 0;                     // behind the closing sign
    bool trims_after = false;
};

/// The tag that begins at `open`. `lines`: of the source.
Result<JinjaTag> read_jinja_tag(std::string_view source, const Lines& lines, std::size_t open);

}  // namespace posthorn::inject
