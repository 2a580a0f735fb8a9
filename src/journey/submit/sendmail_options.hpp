// submit/sendmail_options.hpp: the command line of sendmail(1), as Postfix takes it.
// Shape    getopt: flags may be grouped (-it), a value may be attached (-fuser) or the next word. mailq and newaliases are modes.
// Ignored  as in Postfix: -A -c -e -G -h -L -m -n -o7 -o8 -om -O (but smtputf8, requiretls, holdfor, holduntil) -p -U -X -x, -q with an
//          interval. -t adds to the recipients on the command line.
// Errors   with EX_USAGE: an unknown option, a bad value, options that exclude each other. Pure.
#pragma once

#include "base/error.hpp"
#include "handoff/words.pb.h"
#include "smtp/command.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::submit {

/// The options, as getopt(3) reads them: a colon where there is a value. The manual's page is held against the same list.
inline constexpr std::string_view sendmail_letters = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:q:r:tvx";

struct SendmailOptions {
    enum class Mode { submit, daemon, new_aliases, list_queue, smtp_dialogue, flush, flush_site, flush_id };

    Mode mode = Mode::submit;
    std::string site_or_id;  // of -qR, -qI
    bool recipients_from_header = false;  // -t
    bool dot_ends = true;  // not -i, -oi
    handoff::Purpose purpose = handoff::PURPOSE_MAIL;
    int verbose = 0;
    std::optional<std::string> sender;  // -f, -r; "" and "<>" are the null sender
    std::optional<std::string> full_name;  // -F
    std::optional<std::string> config;  // -C: the configuration directory, or main.cf in it
    std::string envid;  // -V, decoded
    std::optional<std::string> verp;  // -XV: two delimiters, or none: the configured ones
    handoff::Ret ret = handoff::RET_UNSPECIFIED;  // -R
    std::uint32_t notify = 0;  // -N
    std::optional<handoff::Body> body;  // -B
    bool smtputf8 = false, requiretls = false;  // -O
    std::optional<smtp::HoldRequest> hold;  // -O holdfor, holduntil: the last one
    std::vector<std::string> alias_databases;  // -oA, for -bi
    std::vector<std::string> recipients;  // the words that are left, each an address list
    std::vector<std::string> ignored;  // what was taken and does nothing, for -v
};

/// `command` is the name it was called by: sendmail, mailq, newaliases.
Result<SendmailOptions> parse_sendmail_options(std::string_view command, std::span<const std::string_view> words);

/// A full name as it is stored: control octets become "?"; what is beyond ASCII stays, whatever its character set (full_name_encoding_charset).
std::string without_controls(std::string_view name);
/// The full name in an account's GECOS field, up to the first comma; "&" is the login name with a capital.                      passwd(5)
std::string name_of_account(std::string_view gecos, std::string_view login);

/// "never" or a list of success, failure, delay, as bits; none where it is wrong.
std::optional<std::uint32_t> parse_notify(std::string_view text);

}  // namespace posthorn::submit
