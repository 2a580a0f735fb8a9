#include "config/main_cf.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_map>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "config/logical_lines.hpp"

namespace posthorn::config {

Result<std::string> read_file(const std::string& path)
{
    constexpr std::size_t limit = 4 << 20;
    const Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd)
        return system_error(fmt::format("open {}", path), errno);
    std::string text;
    char buffer[16384];
    for (;;) {
        const auto n = ::read(fd.get(), buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return system_error(fmt::format("read {}", path), errno);
        if (n == 0)
            return text;
        text.append(buffer, static_cast<std::size_t>(n));
        if (text.size() > limit)
            return Error{fmt::format("read {}: more than {} octets", path, limit)};
    }
}

Result<Assignment> parse_assignment(std::string_view text)
{
    const auto equals = text.find('=');
    const auto before = trim(text.substr(0, equals));
    if (before.empty() && equals != text.npos)
        return Error{fmt::format("missing attribute name: \"{}\"", trim(text))};
    bool one_word = true;
    for (const char c : before)
        one_word = one_word && !is_space(c);
    if (equals == text.npos || !one_word)
        return Error{fmt::format("missing '=' after attribute name: \"{}\"", trim(text))};
    return Assignment{std::string{before}, std::string{trim(text.substr(equals + 1))}, 0};
}

Result<MainCf> parse_main_cf(std::string_view text, std::string_view path)
{
    MainCf result{std::string{path}, {}, {}};
    std::unordered_map<std::string, std::size_t> latest;
    for (auto& line : logical_lines(text)) {
        if (is_space(line.text.front())) {
            result.warnings.push_back(
                fmt::format("{}: logical line must not start with whitespace: \"{:.30}{}\"", path, line.text, line.text.size() > 30 ? "..." : ""));
            continue;
        }
        auto assignment = parse_assignment(line.text);
        if (!assignment)
            return Error{fmt::format("{}, line {}: {}", path, line.line, assignment.error().what())};
        assignment->line = line.line;
        const auto [earlier, fresh] = latest.try_emplace(assignment->name, result.assignments.size());
        if (!fresh) {
            // Said twice alike is no contradiction.
            if (const std::string& before = result.assignments[earlier->second].value; before != assignment->value)
                result.warnings.push_back(fmt::format("{}, line {}: overriding earlier entry: {}={}", path, line.line, assignment->name, before));
            earlier->second = result.assignments.size();
        }
        result.assignments.push_back(std::move(*assignment));
    }
    return result;
}

Result<MainCf> read_main_cf(const std::string& path)
{
    TRY(const auto text, read_file(path));
    return parse_main_cf(text, path);
}

bool is_source_type(std::string_view type)
{
    static constexpr std::array<std::string_view, 6> types{"ldap", "memcache", "mysql", "pgsql", "redis", "sqlite"};
    return std::ranges::find(types, type) != types.end();
}

std::vector<std::string> named_in_source(std::string_view text)
{
    std::vector<std::string> values;
    auto parsed = parse_main_cf(text, "");
    if (parsed)
        for (Assignment& assignment : parsed->assignments)
            if (assignment.name == "domain" || assignment.name == "backup")
                values.push_back(std::move(assignment.value));
    return values;
}

}  // namespace posthorn::config
