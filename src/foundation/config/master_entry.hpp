// config/master_entry.hpp: one master.cf entry as text fields, for listing and editing (postconf -M -F -P).
// Shape    eight columns and the arguments, normalised: "-vo a=b" is "-v" "-o" "a=b"; "-o { a = b c }" is "-o" "a=b c".
//          Printed, what needs braces gets them again: "-o {a=b c}".
// Errors   postconf's words: "invalid type field "x" in "LINE"", "bad field count". Warnings are collected, not fatal.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace posthorn::config {

inline constexpr std::array<std::string_view, 8> master_field_names{"service", "type",   "private",       "unprivileged",
                                                                    "chroot",  "wakeup", "process_limit", "command"};
/// What divides columns and words.
inline constexpr std::string_view master_blanks = " \t\r\n";

struct MasterEntry {
    std::array<std::string, 7> columns;           // service .. process_limit
    std::vector<std::string> command;             // the program, then its normalised arguments
    std::size_t options = 1;                      // command[1 .. options) are its leading options and their operands

    std::string key() const { return columns[0] + "/" + columns[1]; }
    /// "name=value" operands of the leading -o options, by index into `command`.
    std::vector<std::size_t> overrides() const;
    void set_override(std::string_view name, std::string_view value);
    void remove_override(std::string_view name);
    /// The command column as text; braces where an argument needs them.
    std::string command_text() const;
    /// The same, folded, behind what `line` already has.
    std::string folded_command(std::string line) const;
};

Result<MasterEntry> parse_master_entry(std::string_view text, std::vector<std::string>& warnings);
/// The command and arguments alone ("smtpd -o a=b"), into `entry`.
Result<bool> parse_command(MasterEntry& entry, std::string_view text, std::vector<std::string>& warnings);
/// Whether `text` may stand in column `field` (0..6).
Result<bool> check_master_field(std::size_t field, std::string_view text, std::string_view line);

/// Columns aligned as postconf aligns them. Folded: each -o on a line of its own, other words filled up to 80 columns.
std::string print_master_entry(const MasterEntry& entry, bool fold);

/// The width that folded output is filled to.
inline constexpr std::size_t fold_width = 80;

}  // namespace posthorn::config
