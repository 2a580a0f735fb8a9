#include "base/json.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn {

namespace {

/// Octets of the sequence of UTF-8 that begins here; 0: none does.
std::size_t sequence_length(std::string_view text)
{
    const auto lead = static_cast<unsigned char>(text.front());
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0x80 ? 2 : 1;
    return is_valid_utf8(text.substr(0, length)) ? length : 0;
}

constexpr bool is_plain(char c) { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; }

}  // namespace

std::string json_text(std::string_view text)
{
    std::string out = "\"";
    for (std::size_t length = 1; !text.empty(); text.remove_prefix(length), length = 1) {
        const auto plain = static_cast<std::size_t>(std::ranges::find_if_not(text, is_plain) - text.begin());      // nearly all of it, as a rule
        if (plain != 0) {
            out += text.substr(0, length = plain);
            continue;
        }
        const char octet = text.front();
        const auto code = static_cast<unsigned char>(octet);
        if (octet == '"' || octet == '\\')
            out.append({'\\', octet});
        else if (octet == '\n')
            out += "\\n";
        else if (octet == '\r')
            out += "\\r";
        else if (octet == '\t')
            out += "\\t";
        else if (code < 0x20 || code == 0x7f)
            out += fmt::format("\\u{:04x}", code);
        else if (const std::size_t sequence = sequence_length(text); sequence != 0)
            out += text.substr(0, length = sequence);
        else
            out += "\xef\xbf\xbd";
    }
    return out + "\"";
}

std::string json_object(std::initializer_list<JsonMember> members)
{
    std::string out;
    for (const auto& [name, value] : members)
        out += fmt::format("{}\"{}\": {}", out.empty() ? "{" : ", ", name, json_text(value));
    return out.empty() ? "{}" : out + "}";
}

}  // namespace posthorn
