#include "peers/bounce_classes.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"

namespace posthorn::peers {

namespace {

constexpr std::string_view shipped_classes =
#include "peers/shipped_classes.inc"
    ;

}  // namespace

std::string inline_pcre(std::string_view text)
{
    std::string lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = text.substr(at, end - at);
        at = end + 1;
        if (trim(line).empty() || line.starts_with('#'))
            continue;
        if (is_space(line.front()) && !lines.empty())
            lines.insert(lines.size() - 1, fmt::format(" {}", trim(line)));
        else
            lines += fmt::format("{}{{{}}}", lines.empty() ? "" : ", ", trim(line));
    }
    return fmt::format("pcre:{{{}}}", lines);
}

std::string with_shipped_classes(std::string_view maps)
{
    std::string made;
    for (const std::string_view item : config::split_grouped(maps)) {
        made += made.empty() ? "" : ", ";
        made += item == "shipped" ? inline_pcre(shipped_classes) : std::string(item);
    }
    return made;
}

}  // namespace posthorn::peers
