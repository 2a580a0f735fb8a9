// smtp/xtext.hpp: the encoding of ENVID, ORCPT and AUTH values.                    RFC 3461 4, RFC 6533 3
// Shape    xtext: printable ASCII but + = and space, others as +HH with upper-case digits. utf-8-addr-xtext: `\x{H...}` for code points
//          that xtext cannot carry, and for + = \ and space.
// Errors   none where a + is not followed by two upper-case hex digits, or octets outside 33..126 stand bare; decoded control octets
//          are refused by the caller that puts the value into a header (`is_printable_ascii`).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::smtp {

std::string xtext_encode(std::string_view octets);
std::optional<std::string> xtext_decode(std::string_view text);

/// ORCPT=utf-8;...: the address as UTF-8, from utf-8-addr-xtext or utf-8-addr-unitext.
std::optional<std::string> utf8_addr_decode(std::string_view text);
/// ASCII only: what goes to a peer without SMTPUTF8. The input must be valid UTF-8.
std::string utf8_addr_xtext_encode(std::string_view utf8);
/// For a peer with SMTPUTF8: UTF-8 stays.
std::string utf8_addr_unitext_encode(std::string_view utf8);

/// Octets 32..126 only.
bool is_printable_ascii(std::string_view text);

}  // namespace posthorn::smtp
