#include "tables/source.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <utility>

namespace posthorn::tables {

namespace {

std::string_view trim_right(std::string_view text)
{
    while (!text.empty() && is_space(text.back()))
        text.remove_suffix(1);
    return text;
}

}  // namespace

bool LogicalLines::physical(std::string_view& line)
{
    if (rest_.empty())
        return false;
    const std::size_t end = rest_.find('\n');
    line = rest_.substr(0, end);
    rest_ = end == rest_.npos ? std::string_view{} : rest_.substr(end + 1);
    ++number_;
    return true;
}

bool LogicalLines::next(LogicalLine& logical)
{
    logical.text.clear();
    logical.number = 0;
    for (;;) {
        std::string_view line;
        if (has_ahead_) {
            line = ahead_;
            has_ahead_ = false;
        } else if (physical(line)) {
            ahead_number_ = number_;
        } else {
            break;
        }
        line = trim_right(line);
        const std::size_t first = line.find_first_not_of(" \t");
        if (first == line.npos || line[first] == '#')
            continue;
        if (logical.number == 0 && first > 0) {
            if (!std::exchange(stray_told_, true))
                warnings_.push_back(fmt::format("{}: logical line must not start with whitespace: \"{}{}\"", file_,
                                                printable(line.substr(0, 30), true), line.size() > 30 ? "..." : ""));
            continue;
        }
        if (logical.number == 0) {
            stray_told_ = false;
            logical.number = ahead_number_;
            logical.text = line;
        } else if (first > 0) {
            logical.text += line;
        } else {
            ahead_ = line;
            has_ahead_ = true;
            return true;
        }
    }
    return logical.number != 0;
}

std::string_view take_key(std::string_view& line, bool& unbalanced)
{
    std::size_t at = 0;
    bool quoted = false;
    for (; at < line.size() && (quoted || !is_space(line[at])); ++at) {
        if (line[at] == '\\' && at + 1 < line.size())
            ++at;
        else if (line[at] == '"')
            quoted = !quoted;
    }
    unbalanced = quoted;
    const std::string_view key = line.substr(0, std::min(at, line.size()));
    line = trim(line.substr(key.size()));
    return key;
}

std::vector<std::string_view> split_braced(std::string_view text, std::string_view separators)
{
    std::vector<std::string_view> pieces;
    std::size_t at = 0;
    while ((at = text.find_first_not_of(separators, at)) != text.npos) {
        int depth = 0;
        std::size_t end = at;
        for (; end < text.size() && (depth > 0 || separators.find(text[end]) == separators.npos); ++end) {
            if (text[end] == '{')
                ++depth;
            else if (text[end] == '}')
                --depth;
        }
        pieces.push_back(text.substr(at, end - at));
        at = end;
    }
    return pieces;
}

Result<std::string_view> unbrace(std::string_view text)
{
    text = trim(text);
    if (text.empty() || text.front() != '{')
        return Error{fmt::format("no '{{' at start of text in \"{}\"", printable(text, true))};
    int depth = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '{')
            ++depth;
        else if (text[at] == '}' && --depth == 0) {
            if (at + 1 != text.size())
                return Error{fmt::format("syntax error after '}}' in \"{}\"", printable(text, true))};
            return trim(text.substr(1, at - 1));
        }
    }
    return Error{fmt::format("missing '}}' in \"{}\"", printable(text, true))};
}

Result<std::pair<std::string_view, std::string_view>> split_name_value(std::string_view text)
{
    text = trim(text);
    const std::size_t equals = text.find('=');
    if (equals == text.npos)
        return Error{"missing '=' after attribute name"};
    const std::string_view name = trim(text.substr(0, equals));
    if (name.empty())
        return Error{"missing attribute name"};
    if (name.find_first_of(" \t\r\n") != name.npos)
        return Error{"missing '=' after attribute name"};
    return std::pair{name, trim(text.substr(equals + 1))};
}

}  // namespace posthorn::tables
