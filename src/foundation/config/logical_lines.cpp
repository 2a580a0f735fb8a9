#include "config/logical_lines.hpp"

#include "base/strings.hpp"

namespace posthorn::config {

std::vector<LogicalLine> logical_lines(std::string_view file)
{
    std::vector<LogicalLine> lines;
    int number = 0;
    while (!file.empty()) {
        ++number;
        const auto end = file.find('\n');
        const auto line = file.substr(0, end);
        file.remove_prefix(end == file.npos ? file.size() : end + 1);
        const auto visible = trim(line);
        if (visible.empty() || visible.front() == '#')
            continue;
        if (!lines.empty() && is_space(line.front())) {
            lines.back().text += line;
            lines.back().last_line = number;
        } else {
            lines.push_back({std::string{line}, number, number});
        }
    }
    for (auto& line : lines)
        while (!line.text.empty() && is_space(line.text.back()))
            line.text.pop_back();
    return lines;
}

}  // namespace posthorn::config
