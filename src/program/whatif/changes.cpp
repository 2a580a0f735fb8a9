#include "whatif/changes.hpp"

#include "base/strings.hpp"
#include "config/master_cf.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

namespace posthorn::whatif {

namespace fs = std::filesystem;

namespace {

using Written = std::map<std::string, std::string>;

constexpr std::size_t most_files = 10'000;

/// The path, where it is whole: "/etc/postfix" is not in "/etc/postfix-out".
std::string without_directory(std::string text, const std::string& directory)
{
    static constexpr std::string_view name = "$config_directory";
    for (const std::string_view other : {"${config_directory}", "$(config_directory)"})
        for (std::size_t at = 0; (at = text.find(other, at)) != text.npos; at += name.size())
            text.replace(at, other.size(), name);
    for (std::size_t at = 0; (at = text.find(directory, at)) != text.npos;) {
        const std::size_t end = at + directory.size();
        const bool whole = end == text.size() || text[end] == '/' || is_space(text[end]) || text[end] == ',' || text[end] == '}';
        if (whole)
            text.replace(at, directory.size(), name);
        at += whole ? name.size() : directory.size();
    }
    return text;
}

std::string one_line(std::string_view text) { return fmt::format("{}", fmt::join(split(text), " ")); }

Written parameters_of(const migrate::Survey& survey)
{
    Written written;
    for (const auto& [name, definition] : survey.snapshot.written())
        if (name != "config_directory")
            written.emplace(name, one_line(definition->value));
    return written;
}

Written services_of(const migrate::Survey& survey)
{
    Written written;
    const auto master_cf = config::read_master_cf(survey.directory + "/master.cf");
    if (!master_cf)
        return written;  // surveyed before: it was readable
    for (const config::ServiceLine& line : master_cf->services) {
        std::string text = fmt::format("{}", fmt::join(line.columns, " "));
        for (const std::string& argument : line.arguments)
            text += argument.find_first_of(" \t") == std::string::npos ? " " + argument : fmt::format(" {{ {} }}", one_line(argument));
        written[line.key()] = text;
    }
    return written;
}

std::vector<Change> differing(const Written& now, const std::string& now_at, const Written& next, const std::string& next_at)
{
    std::set<std::string> names;
    for (const Written* const side : {&now, &next})
        for (const auto& [name, value] : *side)
            names.insert(name);
    std::vector<Change> changes;
    for (const std::string& name : names) {
        const auto before = now.find(name), after = next.find(name);
        if (before != now.end() && after != next.end() && without_directory(before->second, now_at) == without_directory(after->second, next_at))
            continue;
        Change change{.name = name, .before = {}, .after = {}};
        if (before != now.end())
            change.before = before->second;
        if (after != next.end())
            change.after = after->second;
        changes.push_back(std::move(change));
    }
    return changes;
}

/// Names of regular files below the directory.
std::set<std::string> files_below(const std::string& directory)
{
    std::set<std::string> found;
    std::error_code trouble;
    for (fs::recursive_directory_iterator at(directory, fs::directory_options::skip_permission_denied, trouble), end; !trouble && at != end;
         at.increment(trouble)) {
        std::error_code ignored;
        if (at->is_regular_file(ignored) && found.size() < most_files)
            found.insert(at->path().lexically_relative(directory).string());
    }
    for (const char* own : {"main.cf", "master.cf"})
        found.erase(own);
    return found;
}

enum class Same { yes, no, unknown };
Same same_octets(const std::string& a, const std::string& b)
{
    std::error_code trouble;
    if (fs::file_size(a, trouble) != fs::file_size(b, trouble) && !trouble)
        return Same::no;
    std::ifstream one(a, std::ios::binary), other(b, std::ios::binary);
    if (!one || !other)
        return Same::unknown;
    std::string piece(1 << 16, '\0'), other_piece(1 << 16, '\0');
    do {
        one.read(piece.data(), static_cast<std::streamsize>(piece.size()));
        other.read(other_piece.data(), static_cast<std::streamsize>(other_piece.size()));
        if (one.gcount() != other.gcount() || !std::equal(piece.begin(), piece.begin() + one.gcount(), other_piece.begin()))
            return Same::no;
    } while (one && other);
    return Same::yes;
}

void compare_files(const migrate::Survey& now, const migrate::Survey& next, Changes& changes)
{
    const auto before = files_below(now.directory), after = files_below(next.directory);
    for (const std::string& name : before) {
        if (!after.contains(name)) {
            changes.files.push_back({.name = name, .before = "there", .after = {}});
            continue;
        }
        const Same same = same_octets(now.directory + "/" + name, next.directory + "/" + name);
        if (same == Same::no)
            changes.files.push_back({.name = name, .before = "there", .after = "changed"});
        else if (same == Same::unknown)
            changes.remarks.push_back(fmt::format("{}: cannot be read by who asks, and is not compared", name));
    }
    for (const std::string& name : after)
        if (!before.contains(name))
            changes.files.push_back({.name = name, .before = {}, .after = "there"});
    std::ranges::sort(changes.files, {}, &Change::name);
}

/// A table that the changed configuration names by its path in the old directory, while it has another one of that name.
void find_tables_left_behind(const migrate::Survey& now, const migrate::Survey& next, Changes& changes)
{
    for (const migrate::TableState& table : next.tables) {
        const std::string path = table.spec.substr(table.spec.find(':') + 1), folder = now.directory + "/";
        if (!path.starts_with(folder))
            continue;
        const std::string name = path.substr(folder.size());
        const auto is_of_it = [&](const Change& file) { return file.name == name || file.name.starts_with(name + "."); };
        if (std::ranges::any_of(changes.files, is_of_it))
            changes.remarks.push_back(
                fmt::format("{} was asked as it is in {}, since it is named by its path: $config_directory/{} would be that of {}", table.spec,
                            now.directory, name, next.directory));
    }
}

/// What tables of the new configuration say that those of the old one do not.
void find_new_troubles(const migrate::Survey& now, const migrate::Survey& next, Changes& changes)
{
    std::set<std::string> known;
    const auto say = [](const migrate::TableState& table, const std::string& what) { return fmt::format("{}: {}", table.spec, what); };
    const auto each = [&](const migrate::Survey& survey, const auto& take) {
        for (const migrate::TableState& table : survey.tables) {
            if (!table.trouble.empty())
                take(say(table, table.trouble));
            for (const std::string& warning : table.warnings)
                take(say(table, warning));
        }
    };
    each(now, [&](const std::string& text) { known.insert(without_directory(text, now.directory)); });
    each(next, [&](const std::string& text) {
        if (!known.contains(without_directory(text, next.directory)))
            changes.remarks.push_back(text);
    });
}

}  // namespace

Changes changes_between(const migrate::Survey& now, const migrate::Survey& next)
{
    Changes changes;
    changes.parameters = differing(parameters_of(now), now.directory, parameters_of(next), next.directory);
    changes.services = differing(services_of(now), now.directory, services_of(next), next.directory);
    compare_files(now, next, changes);
    find_tables_left_behind(now, next, changes);
    find_new_troubles(now, next, changes);
    return changes;
}

}  // namespace posthorn::whatif
