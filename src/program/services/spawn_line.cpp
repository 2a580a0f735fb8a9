#include "services/spawn_line.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"

#include <fmt/format.h>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::services {

Result<SpawnLine> parse_spawn_line(std::span<const std::string> arguments)
{
    SpawnLine line;
    for (std::size_t at = 0; at < arguments.size(); ++at) {
        const std::string_view word = arguments[at];
        if (word.starts_with("user=")) {
            const std::string_view value = word.substr(5);
            const std::size_t colon = value.find(':');
            line.user = value.substr(0, colon);
            line.group = colon == value.npos ? "" : value.substr(colon + 1);
            if (line.user.empty() || (colon != value.npos && line.group.empty()))
                return Error{fmt::format("bad user= value: {}", value)};
        } else if (word.starts_with("argv=")) {
            line.words.emplace_back(word.substr(5));
            line.words.insert(line.words.end(), arguments.begin() + static_cast<std::ptrdiff_t>(at) + 1, arguments.end());
            break;
        } else {
            return Error{fmt::format("unknown attribute: {}", word)};
        }
    }
    if (line.user.empty())
        return Error{"missing user= attribute"};
    if (line.words.empty() || line.words.front().empty())
        return Error{"missing argv= attribute"};
    return line;
}

Result<process::RunAs> run_as(const SpawnLine& line, process::RunAs mail_owner, bool root)
{
    const passwd* user = ::getpwnam(line.user.c_str());
    if (!user)
        return Error{fmt::format("user={}: unknown user", line.user)};
    process::RunAs ids{user->pw_uid, user->pw_gid};
    if (!line.group.empty()) {
        const ::group* group = ::getgrnam(line.group.c_str());
        if (!group)
            return Error{fmt::format("user={}:{}: unknown group", line.user, line.group)};
        ids.gid = group->gr_gid;
    }
    if (!root) {
        if (ids.uid != ::geteuid() || !line.group.empty())
            return Error{fmt::format("user={}: without root a command runs as who runs the mail system", line.user)};
        return ids;
    }
    if (ids.uid == 0 || ids.gid == 0)
        return Error{fmt::format("user={}: root privileges are not given to commands", line.user)};
    if (ids.uid == mail_owner.uid || ids.gid == mail_owner.gid)
        return Error{fmt::format("user={}: the privileges of the mail system owner are not given to commands", line.user)};
    return ids;
}

Result<std::string> program_path(std::string_view name, const std::string& root)
{
    if (name.find('/') != name.npos)
        return std::string(name);
    for (const std::string_view folder : {"/usr/bin/", "/bin/"})
        if (std::string path = std::string(folder) + std::string(name); ::access((root + path).c_str(), X_OK) == 0)
            return path;
    return Error{fmt::format("argv={}: no such program in {}/usr/bin or {}/bin", name, root, root)};
}

std::vector<std::string> exported(std::string_view names, char* const* environment)
{
    std::vector<std::string> made;
    for (std::string_view word : config::split_grouped(names)) {
        if (word.starts_with('{') && word.ends_with('}'))
            word = trim(word.substr(1, word.size() - 2));
        if (word.find('=') != word.npos) {
            made.emplace_back(word);
            continue;
        }
        for (char* const* entry = environment; *entry; ++entry)
            if (const std::string_view known = *entry; known.size() > word.size() && known.starts_with(word) && known[word.size()] == '=')
                made.emplace_back(known);
    }
    if (std::ranges::none_of(made, [](const std::string& entry) { return entry.starts_with("PATH="); }))
        made.emplace_back("PATH=/usr/bin:/bin");
    return made;
}

}  // namespace posthorn::services
