// message/compose.hpp: the text of new header fields.                                     RFC 5322 2.2.3, 3.3, 3.6.4
// Shape    "Name: body" CRLF, folded at white space so that lines stay within 78 octets where they can.
// Trust    none: CR and LF in a body that was given become spaces, so no value starts a field of its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "smtp/path.hpp"

namespace posthorn::message {

/// base/clock.hpp's WallTime; this floor has no clock, it is given the time.
using Time = std::chrono::sys_time<std::chrono::microseconds>;

/// One field with its CRLF. Words longer than a line stay whole.
std::string field(std::string_view name, std::string_view body, std::size_t width = 78);

/// "Sat, 21 Nov 2026 09:44:09 +0000 (UTC)": Postfix's form. The zone's name is left out where it is empty.
std::string date(Time time, std::chrono::minutes east_of_utc, std::string_view zone = {});

/// "<20261121094409.4bXYZ12345@mx.test>": Postfix's form, time in UTC.
std::string message_id(Time time, std::string_view queue_id, std::string_view host);

/// `Name <a@b>`; the name is quoted, or encoded (RFC 2047), where it must be; `utf8`: it may stay as it is, if `charset` is
/// utf-8. An empty name: `a@b`.
std::string named_address(std::string_view name, const smtp::Mailbox& mailbox, bool utf8 = false, std::string_view charset = "utf-8");

/// `a@b (Name)`, the form of before RFC 5322: parentheses in the name are quoted.
std::string commented_address(std::string_view name, const smtp::Mailbox& mailbox, bool utf8 = false, std::string_view charset = "utf-8");

/// A phrase: atoms as they are, anything else as a quoted string.
std::string quote_phrase(std::string_view text);

}  // namespace posthorn::message
