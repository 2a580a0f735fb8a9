#include "mailauth/spf_macro.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <ranges>
#include <vector>

namespace posthorn::mailauth {

namespace {

#ifndef POSTHORN_PLANT_BUG_spf  // a name may be longer than one that can be asked for (scripts/fuzz-planted)
constexpr std::size_t longest_name = 253;
#else
constexpr std::size_t longest_name = 1000;
#endif
constexpr std::size_t longest_explanation = 400;
constexpr std::size_t kept_of_expansion = 4096;      // more than either needs, so that what goes of it is never missed

/// A run of literals, or one macro.
struct SpfPiece {
    std::string_view literal;
    char letter = 0;                                 // lower case; 0: `literal`
    bool macro = false, escaped = false, reversed = false;
    std::size_t parts = 0;                           // at the right; 0: all
    std::string_view delimiters;
};

bool is_literal(char c, bool explanation) { return (c > ' ' && c < 0x7f && c != '%') || (explanation && c == ' '); }

/// `rest` begins behind "%{". None: no macro.
std::optional<SpfPiece> take_braces(std::string_view& rest, bool explanation)
{
    SpfPiece piece{.literal = {}, .macro = true, .delimiters = {}};
    const std::string_view letters = explanation ? "slodiphcrtv" : "slodiphv";
    if (rest.empty() || letters.find(ascii_lower(rest.front())) == letters.npos)
        return std::nullopt;
    piece.letter = ascii_lower(rest.front());
    piece.escaped = piece.letter != rest.front();
    rest.remove_prefix(1);
    const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    for (const char digit : rest.substr(0, digits))
        piece.parts = std::min<std::size_t>((piece.parts * 10) + static_cast<std::size_t>(digit - '0'), 10'000);
    if (digits > 0 && piece.parts == 0)
        return std::nullopt;
    rest.remove_prefix(digits);
    if (!rest.empty() && ascii_lower(rest.front()) == 'r') {
        piece.reversed = true;
        rest.remove_prefix(1);
    }
    const std::size_t end = rest.find_first_not_of(".-+,/_=");
    if (end == rest.npos || rest[end] != '}')
        return std::nullopt;
    piece.delimiters = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return piece;
}

/// None: a syntax error.
std::optional<SpfPiece> take_piece(std::string_view& rest, bool explanation)
{
    if (rest.front() != '%') {
        std::size_t size = 0;
        while (size < rest.size() && is_literal(rest[size], explanation))
            ++size;
        if (size == 0)
            return std::nullopt;
        SpfPiece piece{.literal = rest.substr(0, size), .delimiters = {}};
        rest.remove_prefix(size);
        return piece;
    }
    const char kind = rest.size() > 1 ? rest[1] : '\0';
    rest.remove_prefix(std::min<std::size_t>(rest.size(), 2));
    switch (kind) {
    case '{': return take_braces(rest, explanation);
    case '%': return SpfPiece{.literal = "%", .macro = true, .delimiters = {}};
    case '_': return SpfPiece{.literal = " ", .macro = true, .delimiters = {}};
    case '-': return SpfPiece{.literal = "%20", .macro = true, .delimiters = {}};
    default: return std::nullopt;
    }
}

std::string dotted(const net::IpAddress& address)
{
    if (address.is_v4())
        return address.text();
    std::string nibbles;
    for (const char digit : hex_encode(address.octets())) {
        nibbles += ascii_lower(digit);
        nibbles += '.';
    }
    nibbles.pop_back();
    return nibbles;
}

std::string value_of(char letter, const SpfValues& values)
{
    switch (letter) {
    case 's': return values.local_part + '@' + values.sender_domain;
    case 'l': return values.local_part;
    case 'o': return values.sender_domain;
    case 'd': return values.domain;
    case 'i': return dotted(values.address);
    case 'p': return values.validated;
    case 'h': return values.helo;
    case 'c': return values.address.text();
    case 'r': return values.receiver;
    case 't': return fmt::format("{}", values.now.time_since_epoch().count());
    default: return values.address.is_v6() ? "ip6" : "in-addr";
    }
}

std::string transformed(std::string value, const SpfPiece& piece)
{
    if (piece.parts == 0 && !piece.reversed && piece.delimiters.empty())
        return value;
    const std::string_view delimiters = piece.delimiters.empty() ? "." : piece.delimiters;
    for (char& c : value)
        if (delimiters.find(c) != delimiters.npos)
            c = '\0';                                // which a name cannot have: such an octet parts too
    std::vector<std::string_view> parts = split_exact(value, '\0');
    if (piece.reversed)
        std::ranges::reverse(parts);
    if (piece.parts > 0 && piece.parts < parts.size())
        parts.erase(parts.begin(), parts.end() - static_cast<std::ptrdiff_t>(piece.parts));
    return fmt::format("{}", fmt::join(parts, "."));
}

std::string url_escaped(std::string_view value)
{
    std::string made;
    for (const char c : value) {
        if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
            made += c;
        else
            made += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return made;
}

std::string expanded_piece(const SpfPiece& piece, const SpfValues& values)
{
    if (piece.letter == 0)
        return std::string(piece.literal);
    std::string value = transformed(value_of(piece.letter, values), piece);
    return piece.escaped ? url_escaped(value) : value;
}

}  // namespace

bool is_macro_string(std::string_view text, bool explanation)
{
    while (!text.empty())
        if (!take_piece(text, explanation))
            return false;
    return true;
}

bool is_domain_spec(std::string_view text)
{
    std::optional<SpfPiece> last;
    while (!text.empty())
        if (last = take_piece(text, false); !last)
            return false;
    if (!last || last->macro)
        return last.has_value();
    std::string_view end = last->literal;
    if (end.ends_with('.'))
        end.remove_suffix(1);
    const std::size_t dot = end.rfind('.');
    if (dot == end.npos)
        return false;
    const std::string_view top = end.substr(dot + 1);
    return !top.empty() && !top.starts_with('-') && !top.ends_with('-') && std::ranges::all_of(top, [](char c) { return is_alnum(c) || c == '-'; }) &&
           !std::ranges::all_of(top, is_digit);
}

bool uses_macro(std::string_view text, std::string_view letters)
{
    while (!text.empty()) {
        const auto piece = take_piece(text, true);
        if (!piece)
            return false;
        if (piece->letter != 0 && letters.find(piece->letter) != letters.npos)
            return true;
    }
    return false;
}

std::string expand_domain_spec(std::string_view text, const SpfValues& values)
{
    std::string name;
    while (!text.empty()) {
        const auto piece = take_piece(text, false);
        if (!piece)
            return {};
        name += expanded_piece(*piece, values);
        if (name.size() > 2 * kept_of_expansion)
            name.erase(0, name.size() - kept_of_expansion);
    }
    if (name.ends_with('.'))
        name.pop_back();
    // RFC 7208 7.3: whole labels go, at the left.
    while (name.size() > longest_name) {
        const std::size_t dot = name.find('.', name.size() - longest_name - 1);
        if (dot == name.npos)
            return {};
        name.erase(0, dot + 1);
    }
    return name;
}

std::string expand_explanation(std::string_view text, const SpfValues& values)
{
    std::string made;
    while (!text.empty() && made.size() < kept_of_expansion) {
        const auto piece = take_piece(text, true);
        if (!piece)
            return {};
        made += expanded_piece(*piece, values);
    }
    made.resize(std::min(made.size(), longest_explanation));
    return std::ranges::all_of(made, [](char c) { return c >= ' ' && c < 0x7f; }) ? made : std::string();
}

}  // namespace posthorn::mailauth
