#include "migrate/copy.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "config/logical_lines.hpp"
#include "config/main_cf.hpp"
#include "migrate/new_folder.hpp"
#include "migrate/queue_folder.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <set>

namespace posthorn::migrate {

namespace fs = std::filesystem;

namespace {

bool in_path(char c) { return is_alnum(c) || c == '/' || c == '.' || c == '_' || c == '-'; }

Result<std::string> read_whole(const std::string& path)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file)
        return system_error("open " + path, errno);
    std::string octets;
    char piece[65536];
    for (ssize_t got; (got = ::read(file.get(), piece, sizeof piece)) != 0;) {
        if (got < 0)
            return system_error("read " + path, errno);
        octets.append(piece, static_cast<std::size_t>(got));
    }
    return octets;
}

class Copier {
public:
    Copier(const Survey& survey, const std::string& to) : survey_(survey), made_(to) {}

    Result<Copied> copy()
    {
        TRY_VOID(made_.is_free());
        TRY_VOID(folder(survey_.directory, made_.beside()));
        TRY_VOID(made_.would_start(survey_.directory));
        TRY_VOID(made_.land());
        return std::move(copied_);
    }

private:
    Result<void> folder(const std::string& from, const std::string& to)
    {
        struct stat like{};
        if (::stat(from.c_str(), &like) != 0)
            return system_error("open " + from, errno);
        if (::mkdir(to.c_str(), 0700) != 0)
            return system_error("create " + to, errno);
        std::error_code trouble;
        std::vector<fs::path> entries;
        for (fs::directory_iterator at(from, trouble), end; !trouble && at != end; at.increment(trouble))
            entries.push_back(at->path());
        if (trouble)
            return Error{fmt::format("read {}: {}", from, trouble.message())};
        std::ranges::sort(entries);
        for (const fs::path& entry : entries)
            TRY_VOID(one(entry.string(), to + "/" + entry.filename().string()));
        if (::geteuid() == 0 && ::chown(to.c_str(), like.st_uid, like.st_gid) != 0)
            return system_error("set the owner of " + to, errno);
        if (::chmod(to.c_str(), like.st_mode & 07777) != 0)
            return system_error("set the mode of " + to, errno);
        return sync_folder(to);
    }

    Result<void> one(const std::string& from, const std::string& to)
    {
        struct stat about{};
        if (::stat(from.c_str(), &about) != 0) {                   // a link that leads nowhere
            copied_.left_out.push_back(fmt::format("{}: {}", from, errno_text(errno)));
            return {};
        }
        if (S_ISDIR(about.st_mode)) {
            struct stat itself{};
            if (::lstat(from.c_str(), &itself) == 0 && S_ISDIR(itself.st_mode))
                return folder(from, to);
            copied_.left_out.push_back(from + ": a link to a folder");
            return {};
        }
        if (!S_ISREG(about.st_mode)) {
            copied_.left_out.push_back(from + ": not a regular file");
            return {};
        }
        TRY(std::string octets, read_whole(from));
        if (from == survey_.directory + "/main.cf")
            octets = changed(octets, false);
        else if (from == survey_.directory + "/master.cf")
            octets = changed(octets, true);
        ++copied_.files;
        return write_new_file(to, octets, about);
    }

    std::string changed(std::string_view text, bool master_cf)
    {
        return fmt::format("# Made by posthorn migrate from {}; what is not carried over is a comment with its reason.\n", survey_.directory) +
               with_paths(with_comments(text, survey_.findings, master_cf, &copied_.commented), survey_.directory, made_.path());
    }

    const Survey& survey_;
    NewFolder made_;
    Copied copied_;
};

}  // namespace

std::string with_comments(std::string_view text, const std::vector<Finding>& findings, bool master_cf, std::vector<std::string>* commented)
{
    // What starts all the same stays, with a remark above; a parameter that nothing acts on is commented out.
    std::map<int, std::vector<const Finding*>> at;
    for (const Finding& finding : findings)
        if (finding.line > 0 && finding.in_master_cf == master_cf &&
            (finding.kind == Finding::Kind::parameter || finding.kind == Finding::Kind::service))
            at[finding.line].push_back(&finding);
    std::set<int> out;                                             // physical lines that become comments
    std::map<int, std::string> above;
    for (const config::LogicalLine& line : config::logical_lines(text)) {
        const auto found = at.find(line.line);
        if (found == at.end())
            continue;
        for (const Finding* finding : found->second) {
            const bool takes_out = !master_cf;
            above[line.line] += fmt::format("# posthorn: {} {}\n", finding->subject, finding->text);
            if (takes_out)
                for (int number = line.line; number <= line.last_line; ++number)
                    out.insert(number);
            if (commented)
                commented->push_back(fmt::format("{}, line {}: {}{}", master_cf ? "master.cf" : "main.cf", line.line, finding->subject,
                                                 takes_out ? "" : " (a remark: the line stays)"));
        }
    }
    std::string result;
    int number = 0;
    for (std::size_t from = 0; from < text.size();) {
        const std::size_t end = std::min(text.find('\n', from), text.size() - 1) + 1;
        ++number;
        if (const auto said = above.find(number); said != above.end())
            result += said->second;
        const std::string_view line = text.substr(from, end - from);
        if (out.contains(number) && !trim(line).empty() && !trim(line).starts_with('#'))
            result += "# ";
        result += line;
        from = end;
    }
    return result;
}

std::string with_paths(std::string_view text, const std::string& from, const std::string& to)
{
    std::string result;
    const std::string wanted = from + "/";
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
        std::string_view line = text.substr(at, end - at);
        at = end;
        if (trim(line).starts_with('#')) {
            result += line;
            continue;
        }
        for (std::size_t hit; (hit = line.find(wanted)) != line.npos; line.remove_prefix(hit + wanted.size())) {
            const bool whole = hit == 0 || !in_path(line[hit - 1]);
            result += line.substr(0, hit);
            result += whole ? to + "/" : wanted;
        }
        result += line;
    }
    return result;
}

Result<Copied> copy_configuration(const Survey& survey, const std::string& to) { return Copier(survey, to).copy(); }

}  // namespace posthorn::migrate
