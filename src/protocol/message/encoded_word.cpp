#include "message/encoded_word.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/strings.hpp"
#include "message/header.hpp"

namespace posthorn::message {
namespace {

std::optional<std::string> decode_q(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '_') {
            out += ' ';
        } else if (text[i] == '=') {
            if (i + 2 >= text.size() || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
                return std::nullopt;
            out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

struct Word {
    std::size_t length;  // of the encoded word
    std::string text;    // UTF-8
};

std::optional<Word> read_word(std::string_view text)
{
    if (!text.starts_with("=?"))
        return std::nullopt;
    const std::size_t second = text.find('?', 2);
    if (second == text.npos || second + 2 >= text.size() || text[second + 2] != '?')
        return std::nullopt;
    const std::size_t end = text.find("?=", second + 3);
    if (end == text.npos)
        return std::nullopt;
    // A language may follow the character set (RFC 2231 5).
    std::string_view charset = text.substr(2, second - 2);
    charset = charset.substr(0, charset.find('*'));
    const std::string_view encoded = text.substr(second + 3, end - second - 3);
    if (std::ranges::any_of(encoded, [](char c) { return is_space(c) || c == '?'; }))
        return std::nullopt;
    std::optional<std::string> octets;
    if (ascii_lower(text[second + 1]) == 'q')
        octets = decode_q(encoded);
    else if (ascii_lower(text[second + 1]) == 'b')
        octets = base64_decode(encoded);
    if (!octets)
        return std::nullopt;
    if (iequals(charset, "iso-8859-1")) {
        std::string utf8;
        for (char c : *octets) {
            const auto octet = static_cast<unsigned char>(c);
            if (octet < 0x80)
                utf8 += c;
            else
                (utf8 += static_cast<char>(0xc0 | (octet >> 6))) += static_cast<char>(0x80 | (octet & 0x3f));
        }
        octets = std::move(utf8);
    } else if (!iequals(charset, "utf-8") && !iequals(charset, "us-ascii")) {
        return std::nullopt;
    }
    std::ranges::replace_if(*octets, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; }, ' ');
    return Word{end + 2, *std::move(octets)};
}

}  // namespace

bool is_charset_name(std::string_view name)
{
    return !name.empty() && name.size() <= 40 &&
           std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127 && !std::string_view("()<>@,;:\"/[]?.=\\").contains(c); });
}

std::string encode_words(std::string_view utf8, std::string_view charset)
{
    const auto plain = [](char c) { return c >= ' ' && c < 127; };
    if (std::ranges::all_of(utf8, plain) && utf8.find("=?") == utf8.npos)
        return std::string(utf8);
    const std::string open = fmt::format("=?{}?Q?", charset);
    const std::size_t room = 75 - open.size() - 2;
    const bool utf = iequals(charset, "utf-8");
    std::string out, word;
    const auto close = [&] {
        if (!out.empty())
            out += ' ';
        out += fmt::format("{}{}?=", open, word);
        word.clear();
    };
    for (std::size_t i = 0; i < utf8.size();) {
        // One character: its lead and what continues it.
        std::size_t end = i + 1;
        while (utf && end < utf8.size() && end < i + 4 && (static_cast<unsigned char>(utf8[end]) & 0xc0) == 0x80 && (utf8[i] & 0x80) != 0)
            ++end;
        std::string encoded;
        for (; i < end; ++i) {
            if (is_alnum(utf8[i]) || std::string_view{"!*+-/"}.find(utf8[i]) != std::string_view::npos)
                encoded += utf8[i];
            else if (utf8[i] == ' ')
                encoded += '_';
            else
                encoded += fmt::format("={:02X}", static_cast<unsigned char>(utf8[i]));
        }
        if (word.size() + encoded.size() > room)
            close();
        word += encoded;
    }
    close();
    return out;
}

std::string decode_words(std::string_view text)
{
    std::string out;
    bool after_word = false;
    std::size_t blanks = 0;  // where the white space after the last word begins in `out`
    for (std::size_t i = 0; i < text.size();) {
        if (text[i] == '=') {
            if (auto word = read_word(text.substr(i))) {
                if (after_word)
                    out.resize(blanks);
                out += word->text;
                i += word->length;
                after_word = true;
                blanks = out.size();
                continue;
            }
        }
        if (!is_blank(text[i]))
            after_word = false;
        out += text[i++];
    }
    return out;
}

}  // namespace posthorn::message
