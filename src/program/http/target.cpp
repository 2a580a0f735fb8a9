#include "http/target.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::http {

namespace {

int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

Result<std::string> decoded(std::string_view text, bool query)
{
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        char c = text[at];
        if (c == '%') {
            const int high = at + 2 < text.size() ? hex_value(text[at + 1]) : -1, low = high >= 0 ? hex_value(text[at + 2]) : -1;
            if (low < 0)
                return Error{"a % that two hexadecimal digits do not follow"};
            c = static_cast<char>(high * 16 + low);
            at += 2;
        } else if (query && c == '+')
            c = ' ';
        if (is_control(c))
            return Error{"a control character"};
        out += c;
    }
    return out;
}

}  // namespace

std::optional<std::string> Target::word(std::string_view name) const
{
    const auto found = query.find(name);
    return found == query.end() ? std::nullopt : std::optional(found->second);
}

Result<Target> parse_target(std::string_view text)
{
    Target target;
    const auto mark = text.find('?');
    std::string_view path = text.substr(0, mark);
    if (!path.starts_with('/'))
        return Error{"the path does not begin with /"};
    path.remove_prefix(1);
    if (!path.empty())
        for (const std::string_view piece : split_exact(path, '/')) {
            TRY(auto plain, decoded(piece, false));
#ifdef POSTHORN_PLANT_BUG_http_target                                // dots that were escaped (scripts/fuzz-planted)
            if (piece.empty() || piece == "." || piece == "..")
#else
            if (plain.empty() || plain == "." || plain == "..")
#endif
                return Error{"an empty or dot piece in the path"};
            target.path.push_back(std::move(plain));
        }
    if (mark == text.npos || mark + 1 == text.size())
        return target;
    for (const std::string_view pair : split_exact(text.substr(mark + 1), '&')) {
        const auto equals = pair.find('=');
        TRY(auto name, decoded(pair.substr(0, equals), true));
        TRY(auto value, decoded(equals == pair.npos ? std::string_view() : pair.substr(equals + 1), true));
        if (!target.query.emplace(std::move(name), std::move(value)).second)
            return Error{"a word of the query stands there twice"};
    }
    return target;
}

std::string escaped(std::string_view piece)
{
    std::string out;
    for (const char c : piece) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '~' || c == '.';
        out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

}  // namespace posthorn::http
