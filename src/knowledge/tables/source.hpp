// tables/source.hpp: the text forms of tables.
// Shape    a logical line: a line and those after it that begin with white space; empty lines and lines whose first
//          non-blank is '#' are left out, also in between; so is what begins with white space and continues nothing. Line numbers are those of the first line, from 1.
//          { ... } lists of the inline forms and of main.cf: pieces at blanks and commas, braces keep a piece together.
// Errors   what is wrong in one line costs that line, and a warning "file, line N: ...", in Postfix's words.
#pragma once

#include "base/error.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tables {

/// Texts of warnings, collected where there is no log at hand (helper threads); the owner logs them.
using Warnings = std::vector<std::string>;

struct LogicalLine {
    std::string text;  // without line ends and trailing white space
    int number = 0;
};

class LogicalLines {
public:
    LogicalLines(std::string_view text, std::string_view file, Warnings& warnings) : rest_(text), file_(file), warnings_(warnings) {}
    /// False at the end.
    bool next(LogicalLine& line);

private:
    bool physical(std::string_view& line);

    std::string_view rest_, file_;
    Warnings& warnings_;
    std::string_view ahead_;
    bool has_ahead_ = false;
    bool stray_told_ = false;
    int number_ = 0, ahead_number_ = 0;
};

/// Takes the key off the front of a "key value" line: up to white space outside of double quotes. Empty and
/// `unbalanced` set where a quote is not closed.
std::string_view take_key(std::string_view& line, bool& unbalanced);
/// Pieces at any of `separators` outside of braces; outer braces stay.
std::vector<std::string_view> split_braced(std::string_view text, std::string_view separators = " \t\r\n,");
/// The inside of "{ ... }", trimmed; an Error where the braces do not fit.
Result<std::string_view> unbrace(std::string_view text);
/// "name = value", trimmed; an Error names what is missing.
Result<std::pair<std::string_view, std::string_view>> split_name_value(std::string_view text);

}  // namespace posthorn::tables
