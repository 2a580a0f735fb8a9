#include "heard/report.hpp"

#include "base/strings.hpp"

#include <algorithm>

namespace posthorn::heard {

void Report::add(Row row)
{
    (row.good ? good : bad) += row.count;
    if (rows.size() < most_rows)
        rows.push_back(std::move(row));
    else
        left_out += row.count;
}

std::string text_of(std::string_view octets)
{
    std::string_view part = trim(octets);
    if (part.size() > longest_text) {
        std::size_t end = longest_text;
        while (end > 0 && (static_cast<unsigned char>(part[end]) & 0xC0U) == 0x80U)       // not amid a character
            --end;
        part = part.substr(0, end);
    }
    std::string text = printable(part, true);
    for (std::size_t at = text.find('\xC2'); at != text.npos; at = text.find('\xC2', at + 1))
        if (at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xA0)          // U+0080 to U+009F: terminals obey them
            text.replace(at, 2, "?");
    return text;
}

std::string domain_of(std::string_view octets)
{
    constexpr std::size_t longest_name = 253;
    std::string_view name = trim(octets);
    if (name.ends_with('.'))
        name.remove_suffix(1);
    const bool is_name = !name.empty() && name.size() <= longest_name &&
                         std::ranges::all_of(name, [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; }) &&
                         !name.starts_with('.') && !name.ends_with('.') && name.find("..") == name.npos;
    return is_name ? to_lower(name) : std::string();
}

}  // namespace posthorn::heard
