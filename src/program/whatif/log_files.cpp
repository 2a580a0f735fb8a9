#include "whatif/log_files.hpp"

#include "base/fd.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <tuple>

namespace posthorn::whatif {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view syslogs = "/var/log/mail.log";
constexpr std::string_view is_compressed = "is compressed: its text can be given by a pipe and --log -";

bool looks_compressed(std::string_view octets)
{
    return octets.starts_with("\x1f\x8b") || octets.starts_with("BZh") ||
           octets.starts_with("\xfd"
                              "7zXZ") ||
           octets.starts_with("\x28\xb5\x2f\xfd");
}

std::string first_octets(const std::string& path)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char octets[8];
    const ssize_t got = file ? ::read(file.get(), octets, sizeof octets) : 0;
    return {octets, static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

}  // namespace

Result<LogFiles> log_files_beside(const std::string& path)
{
    struct Found {
        fs::file_time_type time;
        std::string path;
    };
    std::vector<Found> found;
    std::error_code trouble;
    const fs::path whole(path);
    const std::string name = whole.filename().string();
    for (fs::directory_iterator at(whole.parent_path(), trouble), end; !trouble && at != end; at.increment(trouble)) {
        std::error_code ignored;
        const std::string other = at->path().filename().string();
        if ((other == name || other.starts_with(name + ".")) && at->is_regular_file(ignored))
            found.push_back({at->last_write_time(ignored), at->path().string()});
    }
    // The one that is written now comes last, even where nothing came since it was begun.
    std::ranges::sort(found, {}, [&](const Found& one) { return std::tuple(one.path == path, one.time, one.path); });
    LogFiles files;
    for (const Found& one : found)
        if (looks_compressed(first_octets(one.path)))
            files.unread.push_back(fmt::format("{}: {}", one.path, is_compressed));
        else
            files.paths.push_back(one.path);
    if (files.paths.empty())
        return Error{fmt::format("no log {}: --log names another one", path)};
    return files;
}

Result<LogFiles> log_files(const config::Snapshot& snapshot)
{
    const std::string file = snapshot.text("maillog_file");
    if (file == "/dev/stdout")
        return Error{"maillog_file is /dev/stdout: --log names a file with what was written there"};
    return log_files_beside(file.empty() ? std::string(syslogs) : file);
}

Result<void> read_log(const std::string& path, MailLog& log)
{
    const bool standard = path == "-";
    const Fd opened(standard ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened)
        return system_error("open " + path, errno);
    struct stat about{};
    if (::fstat(opened.get(), &about) == 0 && S_ISDIR(about.st_mode))
        return system_error("read " + path, EISDIR);
    std::string piece(1 << 18, '\0');
    for (bool first = true;; first = false) {
        const ssize_t got = ::read(opened.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return system_error("read " + path, errno);
        if (got == 0)
            break;
        const std::string_view octets(piece.data(), static_cast<std::size_t>(got));
        if (first && looks_compressed(octets))
            return Error{fmt::format("{} {}", path, is_compressed)};
        log.feed(octets);
    }
    log.end_of_file();
    return {};
}

}  // namespace posthorn::whatif
