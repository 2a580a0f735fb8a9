// peers/bounce_classes.hpp: bounce_classification_maps, with the rules that came with the program in the place of the word "shipped".
// Shipped  conf/bounce_classes, compiled in: a process that reads no files has them, and they are never older than the program.
#pragma once

#include <string>
#include <string_view>

namespace posthorn::peers {

/// The list with an inline pcre table for each "shipped" that stands in it by itself.
std::string with_shipped_classes(std::string_view maps);
/// The text of a pcre table as "pcre:{{line}, {line} ...}"; lines that begin with white space continue the one before.
std::string inline_pcre(std::string_view text);

}  // namespace posthorn::peers
