#include "config/edit.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_map>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/strings.hpp"

namespace posthorn::config {

namespace {

struct PhysicalLine {
    std::string_view text;                        // without its line end
    bool ends = true;                             // had a line end
    enum class Kind : std::uint8_t { comment, start, continuation } kind = Kind::comment;
};

std::vector<PhysicalLine> physical_lines(std::string_view text)
{
    std::vector<PhysicalLine> lines;
    while (!text.empty()) {
        const auto end = text.find('\n');
        PhysicalLine line{text.substr(0, end), end != text.npos, PhysicalLine::Kind::comment};
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
        const auto visible = trim(line.text);
        if (!visible.empty() && visible.front() != '#')
            line.kind = is_space(line.text.front()) ? PhysicalLine::Kind::continuation : PhysicalLine::Kind::start;
        lines.push_back(line);
    }
    return lines;
}

void put_line(std::string& out, std::string_view text)
{
    out += text;
    out += '\n';
}

}  // namespace

std::string edit_main_cf(std::string_view text, MainEdit edit, std::span<const Assignment> wanted, std::string_view path,
                         std::vector<std::string>& warnings)
{
    struct Wish {
        const Assignment* assignment;
        int seen = 0;
    };
    std::vector<Wish> wishes;                     // in order of first request; a later one replaces an earlier
    std::unordered_map<std::string_view, std::size_t> by_name;
    for (const auto& assignment : wanted) {
        const auto [at, fresh] = by_name.try_emplace(assignment.name, wishes.size());
        if (fresh) {
            wishes.push_back({&assignment});
            continue;
        }
        auto& earlier = wishes[at->second];
        warnings.push_back(fmt::format("ignoring earlier request: '{} = {}'", earlier.assignment->name, earlier.assignment->value));
        earlier.assignment = &assignment;
    }
    std::string out;
    Wish* current = nullptr;
    for (const auto& line : physical_lines(text)) {
        if (line.kind == PhysicalLine::Kind::comment) {
            put_line(out, line.text);
            continue;
        }
        if (line.kind == PhysicalLine::Kind::start) {
            const auto name = trim(line.text.substr(0, line.text.find('=')));
            const auto found = by_name.find(name);
            current = found == by_name.end() ? nullptr : &wishes[found->second];
            if (current && current->seen++ == 1)
                warnings.push_back(fmt::format("{}: multiple entries for \"{}\"", path, name));
            if (current && edit == MainEdit::set)
                put_line(out, fmt::format("{} = {}", current->assignment->name, current->assignment->value));
        }
        if (!current)
            put_line(out, line.text);
        else if (edit == MainEdit::comment_out)
            put_line(out, fmt::format("#{}", line.text));
    }
    if (edit == MainEdit::set)
        for (const auto& wish : wishes)
            if (wish.seen == 0)
                put_line(out, fmt::format("{} = {}", wish.assignment->name, wish.assignment->value));
    return out;
}

Result<std::string> edit_master_cf(std::string_view text, std::span<const MasterRequest> requests, std::string_view path,
                                   std::vector<std::string>& warnings)
{
    std::vector<bool> matched(requests.size());
    std::string out;
    const auto lines = physical_lines(text);
    for (std::size_t i = 0; i < lines.size();) {
        if (lines[i].kind != PhysicalLine::Kind::start) {        // a comment, or a continuation of nothing
            put_line(out, lines[i++].text);
            continue;
        }
        // An entry reaches to its last continuation line; comments in between are not part of it.
        std::size_t end = i + 1;
        std::string logical{lines[i].text};
        for (std::size_t ahead = i + 1; ahead < lines.size() && lines[ahead].kind != PhysicalLine::Kind::start; ++ahead) {
            if (lines[ahead].kind == PhysicalLine::Kind::continuation) {
                logical += lines[ahead].text;
                end = ahead + 1;
            }
        }
        std::vector<std::string> ignored;         // listing warns of these; editing other entries must not
        auto entry = parse_master_entry(trim(logical), ignored);
        int number = 0;
        const MasterRequest* whole = nullptr;     // replace, remove, comment_out
        bool changed = false;
        const auto fields = split(logical);
        for (const auto& request : requests) {
            const auto index = static_cast<std::size_t>(number++);
            if (fields.size() < 2 || (request.service != "*" && request.service != fields[0]) || (request.type != "*" && request.type != fields[1]))
                continue;
            matched[index] = true;
            if (request.edit != MasterEdit::change) {
                whole = &request;
                continue;
            }
            if (!entry)
                return Error{fmt::format("file {}: line {}: {}", path, i + 1, entry.error().what())};
            request.change(*entry);
            changed = true;
        }
        if (whole && whole->edit == MasterEdit::replace)
            put_line(out, print_master_entry(whole->entry, true));
        for (std::size_t at = i; at < end; ++at) {
            if (lines[at].kind == PhysicalLine::Kind::comment)
                put_line(out, lines[at].text);
            else if (whole && whole->edit == MasterEdit::comment_out)
                put_line(out, fmt::format("#{}", lines[at].text));
            else if (!whole && !changed)
                put_line(out, lines[at].text);
        }
        if (changed && !whole)
            put_line(out, print_master_entry(*entry, true));
        i = end;
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
        if (matched[i])
            continue;
        if (requests[i].edit == MasterEdit::replace)
            put_line(out, print_master_entry(requests[i].entry, true));
        else if (requests[i].edit == MasterEdit::change)
            warnings.push_back(fmt::format("unmatched service_name/type: \"{}\"", requests[i].shown));
    }
    return out;
}

namespace {

Result<bool> write_all(int fd, std::string_view text, const std::string& path)
{
    while (!text.empty()) {
        const auto n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return system_error(fmt::format("write {}", path), errno);
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

/// Opens the temporary file and holds its lock; another editor's rename may take it away while we wait, then again.
Result<Fd> lock_temporary(const std::string& path)
{
    for (;;) {
        Fd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
        if (!fd)
            return system_error(fmt::format("open {}", path), errno);
        while (::flock(fd.get(), LOCK_EX) != 0)
            if (errno != EINTR)
                return system_error(fmt::format("lock {}", path), errno);
        struct stat by_fd{}, by_name{};
        if (::fstat(fd.get(), &by_fd) == 0 && ::stat(path.c_str(), &by_name) == 0 && by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev)
            return fd;
    }
}

}  // namespace

Result<bool> rewrite(const std::string& path, const std::function<Result<std::string>(std::string_view old)>& edit)
{
    const auto temporary = path + ".tmp";
    TRY(const auto fd, lock_temporary(temporary));
    const auto attempt = [&]() -> Result<bool> {
        struct stat target{};
        if (::stat(path.c_str(), &target) != 0)
            return system_error(fmt::format("open {} for reading", path), errno);
        TRY(const auto old, read_file(path));
        TRY(const auto fresh, edit(old));
        if (::ftruncate(fd.get(), 0) != 0)
            return system_error(fmt::format("truncate {}", temporary), errno);
        TRY_VOID(write_all(fd.get(), fresh, temporary));
        if (::fchmod(fd.get(), target.st_mode & 07777) != 0)
            return system_error(fmt::format("chmod {}", temporary), errno);
        if (::fchown(fd.get(), target.st_uid, target.st_gid) != 0 && ::geteuid() == 0)
            return system_error(fmt::format("chown {}", temporary), errno);
        if (::fsync(fd.get()) != 0)
            return system_error(fmt::format("sync {}", temporary), errno);
        if (::rename(temporary.c_str(), path.c_str()) != 0)
            return system_error(fmt::format("rename {} to {}", temporary, path), errno);
        const auto slash = path.rfind('/');
        const Fd folder{::open(slash == path.npos ? "." : path.substr(0, slash + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        if (!folder || ::fsync(folder.get()) != 0)
            return system_error(fmt::format("sync folder of {}", path), errno);
        return true;
    };
    auto result = attempt();
    if (!result)
        ::unlink(temporary.c_str());
    return result;
}

}  // namespace posthorn::config
