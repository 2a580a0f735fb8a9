#include "commands/script.hpp"

#include "supervisor/log_target.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace posthorn::commands {

namespace {

/// Standard error is systemd's journal (systemd.exec(5): JOURNAL_STREAM), and so is the log: each line would stand there twice.
bool journal_has_both(const config::Snapshot& snapshot)
{
    const char* const stream = std::getenv("JOURNAL_STREAM");
    struct stat about{};
    if (!stream || !snapshot.text("maillog_file").empty() || ::fstat(STDERR_FILENO, &about) != 0 ||
        fmt::format("{}:{}", about.st_dev, about.st_ino) != stream)
        return false;
    std::error_code none;
    return std::filesystem::read_symlink("/dev/log", none) == "/run/systemd/journal/dev-log";
}

}  // namespace

Script::Script(const config::Snapshot& snapshot, std::string_view name)
    : sink_(supervisor::command_sink(snapshot)), name_(fmt::format("{}/{}", snapshot.text("syslog_name"), name)), log_(sink_, name_),
      log_alone_(journal_has_both(snapshot))
{
}

void Script::say(observe::Level level, const char* word, const std::string& text)
{
    if (!log_alone_)
        fmt::print(stderr, "{}: {}{}\n", name_, word, text);
    log_.write(level, text);
}

}  // namespace posthorn::commands
