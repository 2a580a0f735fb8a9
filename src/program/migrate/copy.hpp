// migrate/copy.hpp: a configuration directory of its own that Posthorn starts with, made of another one.
// Shape    every regular file of the old directory and of the folders in it; a path of the old directory in main.cf or master.cf becomes
//          the new one's. What is not acted on stands as a comment, with the reason above it. The queue stays the old one's.
// Atomic   built beside, synced, renamed: DIR is there whole, or not at all.
// Errors   DIR exists; a file cannot be read or written; what was made would not start.
#pragma once

#include "migrate/survey.hpp"

#include <string>
#include <vector>

namespace posthorn::migrate {

struct Copied {
    std::size_t files = 0;
    std::vector<std::string> commented;       // "main.cf, line 12: home_mailbox"
    std::vector<std::string> left_out;        // what is no regular file
};

Result<Copied> copy_configuration(const Survey& survey, const std::string& to);

/// The text of main.cf or master.cf with the lines of these findings as comments. Pure.
std::string with_comments(std::string_view text, const std::vector<Finding>& findings, bool master_cf, std::vector<std::string>* commented);
/// Every path below `from` is one below `to`, outside of comments. Pure.
std::string with_paths(std::string_view text, const std::string& from, const std::string& to);

}  // namespace posthorn::migrate
