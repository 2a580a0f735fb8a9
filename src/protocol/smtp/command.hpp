// smtp/command.hpp: one command line, read and written.       RFC 5321 4.1, RFC 1870, 6152, 3030, 3461, 4865, 4954, 6531, 6533, 8689
// Shape    `split_command` gives verb and arguments as views into the line (without its line end). The parse_* functions turn
//          arguments into values; what they refuse is the Reply to send, with Postfix's codes and texts.
// Owns     MailCommand and RcptCommand own their text; Command does not.
// Trust    none. Decoded ENVID and ORCPT are printable (they end up in header fields of reports); addresses hold no CR, LF, NUL.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "smtp/path.hpp"
#include "smtp/reply.hpp"
#include "smtp/verb.hpp"

namespace posthorn::smtp {

struct Command {
    const Verb* verb = nullptr;  ///< null: not recognized
    std::string_view word;       ///< as the peer wrote it
    std::string_view arguments;  ///< without white space around
};

Command split_command(std::string_view line);

/// "Subject: x", "GET / HTTP/1.0" are no commands of a mail client: does the line look like a header field?
bool looks_like_header(std::string_view line);

/// What our EHLO reply offered, and how strict to be. An option that was not offered is refused with 555 5.5.4.
struct CommandOptions {
    PathOptions path;
    bool dsn = true;             ///< else RET, ENVID, NOTIFY, ORCPT get 501 5.7.1
    bool smtputf8 = true;
    bool strict_smtputf8 = false;  ///< a non-ASCII address without the SMTPUTF8 parameter is refused
    bool binarymime = false;
    bool requiretls = false;
    bool verp = false;
    bool future_release = false;
};

enum class Body : std::uint8_t { unspecified, seven_bit, eight_bit_mime, binary_mime };
enum class Ret : std::uint8_t { unspecified, full, hdrs };

/// RFC 4865: the message is not to go before then. One of the two.
struct HoldRequest {
    std::chrono::seconds interval{};   ///< 1 to 999999999
    std::optional<std::chrono::sys_seconds> until;  ///< of a fraction the next one

    bool operator==(const HoldRequest&) const = default;
};

struct MailCommand {
    Mailbox reverse_path;
    std::optional<std::uint64_t> size;
    Body body = Body::unspecified;
    bool smtputf8 = false;
    bool requiretls = false;
    Ret ret = Ret::unspecified;
    std::optional<std::string> envid;  ///< decoded
    std::optional<std::string> auth;   ///< decoded; "<>" where the peer does not vouch
    std::optional<std::string> verp;   ///< the two delimiters as asked for, to be held against the configuration; empty: the default ones
    std::optional<HoldRequest> hold;

    bool operator==(const MailCommand&) const = default;
};

/// NOTIFY as a set; none of them and not `never`: unspecified.
struct Notify {
    bool never = false, success = false, failure = false, delay = false;
    bool any() const { return never || success || failure || delay; }
    bool operator==(const Notify&) const = default;
};

struct OriginalRecipient {
    std::string type;     ///< "rfc822", "utf-8", ... lower case
    std::string address;  ///< decoded
    bool operator==(const OriginalRecipient&) const = default;
};

struct RcptCommand {
    Mailbox forward_path;
    Notify notify;
    std::optional<OriginalRecipient> orcpt;

    bool operator==(const RcptCommand&) const = default;
};

struct Chunk {
    std::uint64_t octets = 0;
    bool last = false;
    bool operator==(const Chunk&) const = default;
};

template <class T>
using Parsed = std::expected<T, Reply>;

/// The arguments of MAIL: "FROM:<a@b> SIZE=100".
Parsed<MailCommand> parse_mail(std::string_view arguments, const CommandOptions& options = {});
/// The arguments of RCPT: "TO:<a@b> NOTIFY=NEVER".
Parsed<RcptCommand> parse_rcpt(std::string_view arguments, const CommandOptions& options = {});
/// The arguments of BDAT. A refusal is 521: where the size is unknown the octets that follow cannot be told from commands, so the
/// session must end.
Parsed<Chunk> parse_bdat(std::string_view arguments);
/// The name in EHLO, HELO, LHLO: its words joined by one space.
Parsed<std::string> parse_helo(VerbId verb, std::string_view arguments);

/// What the client may say to this peer.
struct WriteOptions {
    bool smtputf8 = false;  ///< ORCPT=utf-8 goes as UTF-8, else as utf-8-addr-xtext
};

/// One line without CRLF. Every parameter that is set is written.
std::string write(const MailCommand& command, const WriteOptions& options = {});
std::string write(const RcptCommand& command, const WriteOptions& options = {});
std::string write(const Chunk& chunk);

/// "7BIT", "8BITMIME", "BINARYMIME", or empty.
std::string_view text(Body body);
/// "SUCCESS,FAILURE", "NEVER", or empty.
std::string text(Notify notify);
/// "rfc822;a@b" with the address encoded.
std::string text(const OriginalRecipient& orcpt, bool smtputf8 = false);

/// "for;3600", "until;2026-11-30T08:00:00Z": as reports tell of it (RFC 4865 5.1.2).
std::string text(const HoldRequest& hold);

/// The value of HOLDFOR, and of HOLDUNTIL, which is in UTC.
std::optional<HoldRequest> parse_hold_for(std::string_view text);
std::optional<HoldRequest> parse_hold_until(std::string_view text);

/// An ORCPT value ("rfc822;a@b"); none where it is malformed.
std::optional<OriginalRecipient> parse_orcpt(std::string_view text);
/// A NOTIFY value ("SUCCESS,FAILURE").
std::optional<Notify> parse_notify(std::string_view text);

}  // namespace posthorn::smtp
