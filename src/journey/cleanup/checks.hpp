// cleanup/checks.hpp: header_checks and the like: what a table says of a line, done.                     header_checks(5)
// Shape    a check is asked with a line (a field with LF between its lines); the answer is an action with its text.
// Log      Postfix's lines, "warning: header Subject: x from client[addr]; from=<s> to=<r> proto=ESMTP helo=<h>: text", without the id.
// Errors   a wrong action is a warning, and the line stays as it is.
#pragma once

#include "cleanup/options.hpp"
#include "handoff/interfaces.hpp"
#include "message/mime.hpp"
#include "tables/maps.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::cleanup {

struct CheckMaps {
    CheckMaps(const CheckOptions& options, tables::Tables& tables);
    tables::Maps header, mime, nested, body, made;
};

/// What checks found in one message, header and body together.
struct Findings {
    bool off = false;                             // REJECT, DISCARD, REDIRECT, PASS: nothing more is looked at
    bool hold = false, discard = false;
    std::string filter, redirect;
    std::vector<std::string> bcc;
    std::optional<handoff::Refusal> refusal;
    std::vector<std::string> log;                 // as they are to be logged, without the queue id
    std::vector<std::string> warnings;            // wrong actions
};

/// What becomes of the line.
struct LineEnd {
    bool kept = true;                             // false: it is gone, and `text` has come in its place, if there is any
    std::string text;                             // without line end; with `kept`: it goes before the line
};

/// The kind of a field that a mail filter made.
inline constexpr std::string_view made_kind = "made";
/// Does what `action` (a table's value) says. `kind`: "header", "body" or made_kind; `parameter` names the table in warnings.
LineEnd do_action(std::string_view kind, std::string_view line, std::string_view action, const tables::Maps& maps, const handoff::Envelope& envelope,
                  Findings& findings);
/// "reject: mime-error ...", and the refusal.
void refuse_mime(std::string_view error, std::string_view line, const handoff::Envelope& envelope, Findings& findings);
/// A table that could not be asked.
void refuse_failed(const tables::Maps& maps, Findings& findings);

/// message_reject_characters: is one of them in `octets`? `before`: what the line has had so far.
void refuse_characters(std::string_view before, std::string_view octets, const CheckOptions& options, const tables::Maps& maps,
                       const handoff::Envelope& envelope, Findings& findings);
/// message_strip_characters; line ends stay.
std::string stripped(std::string_view octets, std::string_view characters);

/// A text of a table, which may hold lines of a folded field: as it is stored. In a header what follows the first line continues it.
std::string as_lines(std::string_view text, bool header);

/// Content-*: and MIME-Version:, which mime_header_checks looks at.
bool is_mime_field(std::string_view name);
/// A field as checks see it: LF between lines, none at the end; no line that begins beyond header_size_limit.
std::string check_text(std::string_view field, std::size_t limit);

inline constexpr std::string_view mime_too_deep = "MIME nesting exceeds safety limit";
inline constexpr std::string_view mime_8bit_header = "improper use of 8-bit data in message header";
inline constexpr std::string_view mime_8bit_body = "improper use of 8-bit data in message body";
inline constexpr std::string_view mime_no_end = "message header was terminated with non-empty line";
inline constexpr std::string_view mime_bad_domain = "invalid message/* or multipart/* encoding domain";

}  // namespace posthorn::cleanup
