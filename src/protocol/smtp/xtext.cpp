#include "smtp/xtext.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include <fmt/format.h>

#include "base/strings.hpp"

namespace posthorn::smtp {
namespace {

constexpr bool is_xchar(char c) { return c > ' ' && c < 127 && c != '+' && c != '='; }

constexpr int hex_digit(char c) { return is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

void append_utf8(std::string& out, std::uint32_t point)
{
    const auto tail = [&](unsigned shift) { out += static_cast<char>(0x80 | ((point >> shift) & 0x3f)); };
    if (point < 0x80) {
        out += static_cast<char>(point);
    } else if (point < 0x800) {
        out += static_cast<char>(0xc0 | (point >> 6));
        tail(0);
    } else if (point < 0x10000) {
        out += static_cast<char>(0xe0 | (point >> 12));
        tail(6);
        tail(0);
    } else {
        out += static_cast<char>(0xf0 | (point >> 18));
        tail(12);
        tail(6);
        tail(0);
    }
}

// QCHAR of RFC 6533: what may stand for itself. Backslash, + and = are escaped, as is everything outside 33..126.
constexpr bool is_qchar(char c) { return is_xchar(c) && c != '\\'; }

std::string encode_utf8_addr(std::string_view utf8, bool keep_utf8)
{
    std::string out;
    for (std::size_t i = 0; i < utf8.size();) {
        const auto lead = static_cast<unsigned char>(utf8[i]);
        const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        if (is_qchar(utf8[i]) || (length > 1 && keep_utf8)) {
            out += utf8.substr(i, length);
        } else {
            std::uint32_t point = length == 1 ? lead : lead & (0x7fu >> length);
            for (std::size_t k = 1; k < length && i + k < utf8.size(); ++k)
                point = (point << 6) | (static_cast<unsigned char>(utf8[i + k]) & 0x3fu);
            out += fmt::format("\\x{{{:02X}}}", point);
        }
        i += length;
    }
    return out;
}

}  // namespace

std::string xtext_encode(std::string_view octets)
{
    std::string out;
    out.reserve(octets.size() + 8);
    for (char c : octets) {
        if (is_xchar(c))
            out += c;
        else
            out += fmt::format("+{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

std::optional<std::string> xtext_decode(std::string_view text)
{
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+') {
            if (i + 2 >= text.size() || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
                return std::nullopt;
            out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
            i += 2;
        } else if (text[i] > ' ' && text[i] < 127) {  // "=" is tolerated, as Postfix does
            out += text[i];
        } else {
            return std::nullopt;
        }
    }
    return out;
}

std::optional<std::string> utf8_addr_decode(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        if (text[i] != '\\') {
            if (text[i] >= 0 && (text[i] <= ' ' || text[i] == 127))
                return std::nullopt;
            out += text[i++];
            continue;
        }
        const std::size_t close = text.find('}', i);
        if (text.substr(i, 3) != "\\x{" || close == text.npos || close == i + 3 || close > i + 9)
            return std::nullopt;
        std::uint32_t point = 0;
        for (char c : text.substr(i + 3, close - i - 3)) {
            if (hex_digit(c) < 0)
                return std::nullopt;
            point = point * 16 + static_cast<std::uint32_t>(hex_digit(c));
        }
        if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return std::nullopt;
        append_utf8(out, point);
        i = close + 1;
    }
    if (!is_valid_utf8(out))
        return std::nullopt;
    return out;
}

std::string utf8_addr_xtext_encode(std::string_view utf8) { return encode_utf8_addr(utf8, false); }
std::string utf8_addr_unitext_encode(std::string_view utf8) { return encode_utf8_addr(utf8, true); }

bool is_printable_ascii(std::string_view text)
{
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 127; });
}

}  // namespace posthorn::smtp
