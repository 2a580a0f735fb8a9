// message/header.hpp: the fields of a header, one after the other.                        RFC 5322 2.2, 3.6, RFC 6532
// Shape    fields until the empty line; "name: body", continued by lines that begin with white space. What is neither ends the header
//          as well, and is the first line of the body (Postfix does the same).
// Units    octets; offsets count from the start of the content.
// Owns     nothing: all views are into the content. No allocation: a header of a million fields costs time, not memory.
// Trust    none. A name is 1..n octets of 33..126 without colon; white space before the colon is tolerated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::message {

/// RFC 5234's WSP.
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
/// One past the LF of the line that begins at `at`.
std::size_t line_end(std::string_view text, std::size_t at);

struct Field {
    std::string_view name;   ///< without the colon
    std::string_view body;   ///< after the colon, folded, without the last line end
    std::string_view whole;  ///< name to line end, line end included
    std::size_t offset = 0;  ///< of `whole`

    bool is(std::string_view other) const;
};

enum class HeaderEnd : std::uint8_t { empty_line, no_field, content_end };

class HeaderWalk {
public:
    /// `offset` is where the content's view begins, for walks over parts of a message.
    explicit HeaderWalk(std::string_view content, std::size_t offset = 0) : content_(content), base_(offset) {}

    std::optional<Field> next();

    // After next() gave none:
    HeaderEnd end() const { return end_; }
    /// Where the header ends: before the empty line, or before the line that is no field. New fields go here.
    std::size_t header_size() const { return base_ + at_; }
    /// Where the body begins: after the empty line, or at the line that is no field.
    std::size_t body_offset() const { return base_ + body_; }

private:
    std::string_view content_;
    std::size_t base_ = 0;
    std::size_t at_ = 0;
    std::size_t body_ = 0;
    HeaderEnd end_ = HeaderEnd::content_end;
};

/// Walks to the end: header_size(), body_offset().
HeaderWalk walk_to_end(std::string_view content);

/// Of content that is still coming in: is it sure that its header ended without an empty line, at a line that is no field?
bool ended_by_no_field(std::string_view content);

/// The first field of that name, without case.
std::optional<Field> find_field(std::string_view content, std::string_view name);

/// A folded body as one line: line ends go, the white space after them stays; trimmed at both ends; at most `limit` octets
/// (header_size_limit). CR and LF that are no folding become spaces, so the result is fit for one line.
std::string unfold(std::string_view body, std::size_t limit = 102400);

/// Is there an octet above 127 in the header? Then the message needs SMTPUTF8 (RFC 6532), if it is UTF-8.
bool header_has_8bit(std::string_view content);
bool has_8bit(std::string_view octets);

/// The fields whose addresses are rewritten and from which `sendmail -t` takes recipients.
enum class AddressField : std::uint8_t { none, sender, recipient };
AddressField address_field(std::string_view name);
bool is_resent(std::string_view name);

}  // namespace posthorn::message
