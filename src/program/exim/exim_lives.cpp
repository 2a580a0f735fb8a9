#include "exim/exim_lives.hpp"

#include "base/strings.hpp"
#include "migrate/queue_folder.hpp"

#include <fmt/format.h>

#include <sys/stat.h>

#include <filesystem>
#include <system_error>

namespace posthorn::exim {

namespace fs = std::filesystem;

namespace {

/// Whether a link of /proc leads to the folder or to something in it. The folder may have another name where the process lives.
bool leads_into(const std::string& link, const struct stat& folder)
{
    struct stat about{};
    if (::stat(link.c_str(), &about) == 0 && about.st_ino == folder.st_ino && about.st_dev == folder.st_dev)
        return true;
    // A file in input/ or input/x/ of the spool: as its path stands there, in the eyes of this process.
    std::error_code failed;
    fs::path at = fs::read_symlink(link, failed).parent_path();
    for (int depth = 0; !failed && depth < 4 && at.has_relative_path(); ++depth, at = at.parent_path())
        if (::stat(at.c_str(), &about) == 0 && about.st_ino == folder.st_ino && about.st_dev == folder.st_dev)
            return true;
    return false;
}

/// exim, exim4, exim-4.98-2; what else begins so is a tool.
bool is_exim(const std::string& process)
{
    std::error_code failed;
    const std::string name = fs::read_symlink(process + "/exe", failed).filename().string();
    return name == "exim" ||
           (name.size() > 4 && name.starts_with("exim") && (is_digit(name[4]) || name[4] == '-' || name[4] == ' '));  // "exim (deleted)"
}

bool works_in(const std::string& process, const struct stat& folder)
{
    if (leads_into(process + "/cwd", folder))
        return true;
    std::error_code failed;
    for (fs::directory_iterator at(process + "/fd", failed), end; !failed && at != end; at.increment(failed))
        if (leads_into(at->path().string(), folder))
            return true;
    return false;
}

}  // namespace

std::optional<pid_t> exim_on(const std::string& spool)
{
    struct stat folder{};
    if (::stat(spool.c_str(), &folder) != 0)
        return {};
    std::optional<std::uint64_t> daemon;
    if (const auto file = migrate::read_regular_file(spool + "/exim-daemon.pid", 64))
        daemon = parse_number(trim(file->octets));
    std::error_code failed;
    for (fs::directory_iterator at("/proc", failed), end; !failed && at != end; at.increment(failed)) {
        const auto number = parse_number(at->path().filename().string());
        if (number && is_exim(at->path().string()) && (number == daemon || works_in(at->path().string(), folder)))
            return static_cast<pid_t>(*number);
    }
    return {};
}

}  // namespace posthorn::exim
