// config/main_cf.hpp: main.cf as a list of assignments.                                         postconf(5)
// Shape    "name = value" per logical line; white space around both is not part of them. Later entries override earlier ones.
// Errors   "FILE, line N: missing '=' after attribute name: "text"" ends the reading: nothing half-applied.
// Warnings in Postfix's words: an overridden entry, a first line that begins with white space.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace posthorn::config {

struct Assignment {
    std::string name, value;
    int line = 0;                                 // where the logical line begins
};

struct MainCf {
    std::string path;
    std::vector<Assignment> assignments;          // in file order, overridden ones included
    std::vector<std::string> warnings;
};

/// `path` is only for messages.
Result<MainCf> parse_main_cf(std::string_view text, std::string_view path);

/// The parameters of a table whose file has some stand in this format as well: whether "type:/path" is such a file,
bool is_source_type(std::string_view type);
/// and what it says of further tables and files: the values of its "domain" and "backup" (ldap_table(5), memcache_table(5)).
std::vector<std::string> named_in_source(std::string_view text);
/// Reads and parses; Error "open PATH: No such file or directory".
Result<MainCf> read_main_cf(const std::string& path);

/// "name = value" or "name=value" taken apart; the Error says "missing '=' after attribute name: ..." without a place.
Result<Assignment> parse_assignment(std::string_view text);

/// A whole file, at most 4 MiB. Error: "open PATH: why", "read PATH: why".
Result<std::string> read_file(const std::string& path);

}  // namespace posthorn::config
