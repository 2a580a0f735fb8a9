// message/encoded_word.hpp: text beyond ASCII in header fields.                                          RFC 2047
// Shape    =?charset?Q|B?text?=, at most 75 octets each; white space between two of them is nothing.
// Owns     its text. Only UTF-8, US-ASCII and ISO-8859-1 are decoded; words of other character sets, and what is malformed, stay as they
//          came: decoding serves people who read logs and bounces, nothing is decided by it.
#pragma once

#include "base/strings.hpp"

#include <string>
#include <string_view>

namespace posthorn::message {

/// Of "=3D", here and in quoted-printable; -1: it is none.
constexpr int hex_digit(char c) { return is_digit(c) ? c - '0' : ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10 : -1; }

/// UTF-8 (or any octets) to encoded words, separated by a space, never cutting a UTF-8 character. ASCII text without "=?" stays as it is. `charset`:
/// what `text` is in, a valid name; it is not converted.
std::string encode_words(std::string_view text, std::string_view charset = "utf-8");
/// Fit for an encoded word: a token of RFC 2047 2, at most 40 octets.
bool is_charset_name(std::string_view name);

/// Unfolded text with its encoded words decoded to UTF-8. Control octets that come out of a word become spaces.
std::string decode_words(std::string_view text);

}  // namespace posthorn::message
