// manual/render.hpp: pages as troff (man(7)), parameters as troff and Markdown. Pure; the same input gives the same octets.
#pragma once

#include "manual/pages.hpp"

#include <map>
#include <string>

namespace posthorn::manual {

std::string troff(const Page& page);
/// main.cf(5): the syntax, then every parameter.
std::string parameters_troff();
std::string parameters_markdown();
/// Relative path and content of every file.
std::map<std::string, std::string> all_files();

}  // namespace posthorn::manual
