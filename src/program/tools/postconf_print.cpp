#include "tools/postconf_print.hpp"

#include <fmt/format.h>

#include "base/strings.hpp"
#include "config/master_entry.hpp"

namespace posthorn::tools {

std::string print_parameter(std::string_view name, std::string_view value, PrintManner manner)
{
    if (!manner.values)
        return fmt::format("{}\n", name);
    std::string text, line = manner.names ? fmt::format("{} =", name) : "";
    bool first = !manner.names;
    for (const auto word : split(value)) {
        if (manner.fold && line.size() > 3 && line.size() + !first + word.size() > config::fold_width) {
            text += line;
            text += '\n';
            line = "   ";
            first = false;
        }
        if (!first)
            line += ' ';
        line += word;
        first = false;
    }
    return text + line + '\n';
}

}  // namespace posthorn::tools
