// config/logical_lines.hpp: physical lines to logical lines, as main.cf, master.cf and tables have them.
// Shape    a line that begins with white space continues the line above; comments (first visible character '#') and
//          blank lines are skipped, also between a line and its continuation. No '#' comment behind text.
//          The logical line keeps the inner white space as written, and lost its line ends and what trails.
// Owns     its text. Limits: 1 MiB per file is the caller's matter; a NUL octet is a character like others.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::config {

struct LogicalLine {
    std::string text;                             // begins with white space only where the file's first line does
    int line = 0;                                 // of its first physical line
    int last_line = 0;
};

std::vector<LogicalLine> logical_lines(std::string_view file);

}  // namespace posthorn::config
