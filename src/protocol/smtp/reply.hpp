// smtp/reply.hpp: one SMTP reply.                                       RFC 5321 4.2, RFC 2034, RFC 3463
// Shape    1..n lines "250-text", last "250 text", CRLF each. `lines` hold what follows "250-", enhanced code included.
// Units    octets without line ends. ReplyLimits bound what is kept and what is read, whatever a peer sends.
// Owns     its text. A 5yz reply is a value, not an error; Error only where a reply never ends.
// Trust    none: an enhanced code that disagrees with the first digit is not believed (status() says x.0.0), lines that are no
//          reply are counted as garbage ("non-ESMTP response"), bare LF ends a line, a code without space is taken and marked.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace posthorn::smtp {

struct Reply {
    int code = 0;
    std::vector<std::string> lines;

    // What the parser noticed; a reply that we make has none of it.
    bool mixed_codes = false;  ///< its lines carry different codes; `code` is the last one
    bool irregular = false;    ///< "250Ok", or a bare LF: a sign of a home-made server
    bool cut = false;          ///< lines or text beyond the limits were dropped
    std::size_t garbage = 0;   ///< lines before it that were no reply lines
    std::string garbage_line;  ///< the first of them, for the log

    Reply() = default;
    /// "250 2.1.0 Ok": `text` may have several lines, separated by \n; each carries the status. An empty status: none is written.
    Reply(int code, std::string_view status, std::string_view text);

    int digit() const { return code / 100; }
    bool positive() const { return digit() == 2; }
    bool intermediate() const { return digit() == 3; }
    bool transient() const { return digit() == 4; }
    bool permanent() const { return digit() == 5; }
    bool valid() const { return code >= 200 && code <= 599; }

    /// The enhanced code of the last line where it has one that fits the first digit, else of the first; else "X.0.0"; empty for 1yz, 3yz and bad codes.
    std::string status() const;
    /// All lines with their codes, joined by a space, as Postfix's log shows them: "550-5.1.1 no 550 5.1.1 such user".
    std::string logged() const;
    /// The text without codes, lines joined by a space.
    std::string text() const;
    /// As it goes over the wire, CRLF included.
    std::string wire() const;
    /// One line of that, without its CRLF. `at` counts from 0; a reply without text has one line.
    std::string wire_line(std::size_t at) const;

    bool operator==(const Reply&) const = default;
};

/// The enhanced code at the start of a line's text ("5.1.1 no"), or empty.
std::string_view enhanced_code(std::string_view text);

/// Replies as they go over the wire, none of whose lines has more than 512 octets, CRLF included (RFC 5321 4.5.3.1.5): a longer one becomes several, at a space
/// or at least between characters. A challenge (334) stays, which has a limit of its own (RFC 4954 4.3).
std::string within_line_limit(std::string_view replies);

struct ReplyLimits {
    std::size_t line = 2048;  ///< kept of a line (line_length_limit); the rest is dropped
    std::size_t lines = 256;  ///< kept of a reply; the last line always is
    std::size_t octets = 1 << 20;  ///< read for one reply, garbage included; then TooLong
};

class ReplyParser {
public:
    explicit ReplyParser(ReplyLimits limits = {}) : limits_(limits) {}

    /// Reads from the front of `octets` and removes what it has read: up to the end of one reply, or all. None: more octets are needed.
    /// Error: the peer sent more than limits.octets without ending a reply; the parser then stays in error.
    Result<std::optional<Reply>> feed(std::string_view& octets);

    /// Did a reply begin that is not whole yet? What a lost connection cut off.
    bool amid() const { return read_ != 0; }
    /// What of the next reply has been read: its garbage, before it has come at all.
    const Reply& so_far() const { return reply_; }

private:
    bool take_line(std::string_view line);  // true: the reply is whole

    ReplyLimits limits_;
    Reply reply_;
    std::string line_;
    std::size_t read_ = 0;
    bool line_cut_ = false;
};

}  // namespace posthorn::smtp
