// deliver/pipe_line.hpp: the arguments of a pipe line of master.cf, and the words of the command for one delivery.                       pipe(8)
//     dovecot unix - n n - - pipe flags=DRhu user=vmail:vmail argv=/usr/lib/dovecot/dovecot-lda -f ${sender} -d ${recipient}
// Shape    NAME=VALUE words, argv=PROGRAM WORDS... last. user= and argv= must be there.
// Macros   $name, ${name}, $(name), ${name?text}, ${name:text}, $$. A word with one that depends on the recipient stands once for each of them.
// Trust    what comes from the mail is a value: it is not expanded again, and no word gets a '-' in front by an address (allow_min_user).
// Errors   what is wrong with which argument.
// Pure.
#pragma once

#include "base/error.hpp"
#include "tables/keys.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::deliver {

struct PipeLine {
    bool has(char flag) const { return flags.find(flag) != flags.npos; }

    std::string flags;                       // of pipe_flags
    std::string user, group;                 // group empty: the user's
    std::string root, directory;             // directory: inside root, where there is one
    std::string eol = "\n";
    std::string null_sender = "MAILER-DAEMON";
    std::uint64_t size_limit = 0;            // 0: none
    std::vector<std::string> words;          // argv, not expanded
};

/// B blank line behind, D Delivered-To:, F From_ line, O X-Original-To:, R Return-Path:, X final delivery, h q u how addresses are written, . and > what
/// lines are given in front.
inline constexpr std::string_view pipe_flags = "BDFORXhqu.>";

Result<PipeLine> parse_pipe_line(std::span<const std::string> arguments);

/// What the macros are made of.
struct PipeMail {
    struct Person {
        std::string address, original;
    };
    std::string sender;  // as in the envelope
    std::vector<Person> recipients;
    std::string queue_id, nexthop, envid;
    std::uint64_t size = 0;
    std::string client_name, client_address, client_port, client_helo, client_protocol;
    std::string sasl_method, sasl_sender, sasl_username;
};

/// The words of the command. An Error with 5.1.3: an address would be taken for an option.
Result<std::vector<std::string>> pipe_words(const PipeLine& line, const PipeMail& mail, const tables::Delimiter& delimiter, bool allow_minus);

}  // namespace posthorn::deliver
