// base/strings.hpp: ASCII text. Mail compares keywords and domains without case in ASCII only, whatever the locale.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn {

constexpr char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_alpha(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
constexpr bool is_alnum(char c) { return is_digit(c) || is_alpha(c); }
/// Space, tab, CR, LF, VT, FF.
constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view text, std::string_view prefix);
bool iends_with(std::string_view text, std::string_view suffix);
std::string_view trim(std::string_view text);

/// The non-empty pieces between any of `separators`; views into `text`.
std::vector<std::string_view> split(std::string_view text, std::string_view separators = " \t\r\n");
/// All pieces between single occurrences of `separator`, empty ones included.
std::vector<std::string_view> split_exact(std::string_view text, char separator);

/// A whole decimal number without sign; none where anything else is in it or it does not fit.
std::optional<std::uint64_t> parse_number(std::string_view text);

/// What came from the network, made fit for one log line: control and non-ASCII octets become '?' (Postfix's rule).
/// With `keep_utf8`, valid UTF-8 stays.
std::string printable(std::string_view text, bool keep_utf8 = false);
void append_printable(std::string& out, std::string_view text, bool keep_utf8 = false);
bool is_ascii(std::string_view text);
bool is_valid_utf8(std::string_view text);

std::string base64_encode(std::string_view octets);
std::optional<std::string> base64_decode(std::string_view text);
std::string hex_encode(std::string_view octets);

}  // namespace posthorn
