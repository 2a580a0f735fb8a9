// tools/postconf_options.hpp: postconf's command line.
// Errors   Failure: what "postconf: fatal: " shall say; the exit code is 1.
#pragma once

#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "config/main_cf.hpp"

namespace posthorn::tools {

/// Ends a command: shown as "NAME: fatal: text".
struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A value whose $expression is malformed: its text is a warning, the failure is "macro processing error".
struct ExpressionFailure : Failure {
    using Failure::Failure;
};

/// The options: flags, and those with an operand. The manual's page is held against them.
inline constexpr std::string_view postconf_flags = "aAbdefFhHjlmMnpPqtvxX#", postconf_operands = "cCoT";

struct PostconfOptions {
    char mode = 'p';                              // a A b l m M F P t T, or p: main.cf
    std::string letters;                          // every mode and modifier letter that was given, once
    bool has(char letter) const { return letters.contains(letter); }
    std::optional<std::string> config_directory;
    std::string classes;                          // of -C, as letters: b(uiltin) s(ervice) u(ser)
    std::vector<config::Assignment> overrides;    // of -o
    std::string tls_mode;                         // of -T
    std::vector<std::string> arguments;
    int verbose = 0;
};

/// Throws Failure; `complaints` are lines that go to standard error before it ("invalid option").
PostconfOptions postconf_options(std::span<char*> args, std::vector<std::string>& complaints);

}  // namespace posthorn::tools
