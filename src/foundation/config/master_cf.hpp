// config/master_cf.hpp: master.cf as a list of services.                                        master(5)
// Shape    eight columns: name type private unprivileged chroot wakeup maxproc command [arguments]; "-" is the default.
//          Arguments: words, "-o name=value", "-o { name = value }", "{ an argument with spaces }".
// Owns     its text; `columns` keeps each field as written, for postconf -M -F and for editing.
// Errors   "fatal: FILE: line N: bad transport type: foo", in Postfix's words; the first one ends the reading.
// Lines    a service's line is where its entry begins.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "config/main_cf.hpp"

namespace posthorn::config {

enum class Transport : std::uint8_t { inet, unix_stream, fifo, pass, unix_dgram };
std::string_view to_text(Transport type);

struct ServiceLine {
    std::string name;                             // "smtp", "127.0.0.1:submission", "[::1]:10025", "private/x" is never written
    Transport type = Transport::inet;
    bool is_private = true;
    bool unprivileged = true;
    bool chroot = false;                          // "-" is the default of compatibility level 1 and later: no
    bool chroot_by_default = false;               // "-" was written
    int wakeup = 0;                               // seconds; 0: never
    bool wakeup_only_if_used = false;             // "60?"
    std::optional<int> process_limit;             // absent: default_process_limit; 0: none
    std::string command;                          // "smtpd"
    std::vector<std::string> arguments;           // all of them; braces removed; "-o" and its operand are two
    std::vector<Assignment> overrides;            // from "-o", in order, $name not expanded (that is the snapshot's)
    int verbose = 0;                              // number of "-v"
    bool debug = false;                           // "-D"
    std::array<std::string, 8> columns;           // as written; the command is [7]
    int line = 0, last_line = 0;

    /// "smtp/inet": how postconf names it.
    std::string key() const;
    /// The entry in one line, with one blank between its words; what has blanks in it stands in braces.
    std::string text() const;
};

struct MasterCf {
    std::string path;
    std::vector<ServiceLine> services;
    std::vector<std::string> warnings;
};

Result<MasterCf> parse_master_cf(std::string_view text, std::string_view path);
Result<MasterCf> read_master_cf(const std::string& path);

/// The command's words: white space separates, a { group } is one word without its braces and the space inside them.
/// Error: "missing '}' in: ..." or "syntax error after '}' in: ..."
Result<std::vector<std::string>> split_arguments(std::string_view text);

}  // namespace posthorn::config
