#include "exim/key_file.hpp"

#include "base/strings.hpp"

#include <set>

namespace posthorn::exim {

namespace {

template <class Function>
void each_line(std::string_view text, Function function)
{
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        function(text.substr(at, end - at));
        at = end + 1;
    }
}

std::string take_key(std::string_view& line)
{
    std::string key;
    if (line.starts_with('"')) {
        std::size_t at = 1;
        for (; at < line.size() && line[at] != '"'; ++at) {
            if (line[at] == '\\' && at + 1 < line.size())
                ++at;
            key += line[at];
        }
        line = line.substr(std::min(at + 1, line.size()));
    } else {
        const std::size_t end = std::min(line.find_first_of(": \t"), line.size());
        key = line.substr(0, end);
        line = line.substr(end);
    }
    line = trim(line);
    if (line.starts_with(':'))
        line = trim(line.substr(1));
    return key;
}

}  // namespace

std::vector<KeyEntry> read_key_file(std::string_view text)
{
    std::vector<KeyEntry> entries;
    std::set<std::string> keys;
    int number = 0;
    bool skips = true;                                             // what continues an entry that does not count
    each_line(text, [&](std::string_view line) {
        ++number;
        if (line.starts_with('#') || trim(line).empty())
            return;
        if (is_space(line.front())) {
            if (!skips)
                entries.back().value += " " + std::string(trim(line));
            return;
        }
        std::string key = to_lower(take_key(line));
        skips = key.empty() || !keys.insert(key).second;
        if (!skips)
            entries.push_back({std::move(key), std::string(trim(line)), number});
    });
    return entries;
}

std::vector<std::string> read_list_file(std::string_view text, bool addresses)
{
    std::vector<std::string> lines;
    each_line(text, [&](std::string_view line) {
        for (std::size_t at = 0; (at = line.find('#', at)) != line.npos; ++at)
            if (!addresses || at == 0 || is_space(line[at - 1])) {
                line = line.substr(0, at);
                break;
            }
        if (!trim(line).empty())
            lines.emplace_back(trim(line));
    });
    return lines;
}

std::vector<std::string> split_aliases(std::string_view value)
{
    std::vector<std::string> pieces;
    std::string piece;
    bool quoted = false;
    const auto end = [&] {
        if (const std::string_view one = trim(piece); !one.empty() && one.front() != '#')
            pieces.emplace_back(one);
        piece.clear();
    };
    for (std::size_t at = 0; at < value.size(); ++at) {
        const char c = value[at];
        if (c == '\\' && at + 1 < value.size()) {
            piece += c;
            piece += value[++at];
            continue;
        }
        if (c == '"')
            quoted = !quoted;
        // ":fail: text, with a comma" is one.
        const std::string_view so_far = trim(piece);
        const bool special = so_far.starts_with(":fail:") || so_far.starts_with(":defer:") || so_far.starts_with(":blackhole:");
        if (!quoted && ((c == ',' && !special) || c == '\n'))
            end();
        else
            piece += c;
    }
    end();
    return pieces;
}

}  // namespace posthorn::exim
