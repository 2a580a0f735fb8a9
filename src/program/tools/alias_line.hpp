// tools/alias_line.hpp: one line of an aliases(5) file, as postalias stores it.                       aliases(5), RFC 822 3.3
// Shape    "name: value". The text is read as RFC 822 words: white space and comments outside of quotes do not matter. The name loses its
//          quotes; the value keeps them, with single blanks between words and one behind a comma.
// Errors   "need name:value pair", "name must be local". Pure.
#pragma once

#include "base/error.hpp"

#include <string>
#include <string_view>

namespace posthorn::tools {

struct Alias {
    std::string name, value;
};
Result<Alias> parse_alias(std::string_view line);

}  // namespace posthorn::tools
