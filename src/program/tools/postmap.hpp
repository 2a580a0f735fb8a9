// tools/postmap.hpp: queries and builds lookup tables.                                     postmap(1), postalias(1)
// Exit     0: done, or the key was found; 1: not found (-q, -d), or after a "postmap: fatal: ..." on standard error.
// Files    a table is built beside the old one and replaces it by rename; -i and -d change it in one transaction.
#pragma once

#include <span>

namespace posthorn::tools {

/// The options, as getopt(3) reads them; the manual's pages are held against the same list.
inline constexpr const char* postmap_letters = "+NUbc:d:fFhijmnopq:rsuvw";
inline constexpr const char* postalias_letters = "+Nc:d:fijnopq:rsuvw";

/// `args` with the command's name in front, as main() has them.
int postmap(std::span<char*> args);
/// The same, where the text is that of aliases(5).
int postalias(std::span<char*> args);

}  // namespace posthorn::tools
