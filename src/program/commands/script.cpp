#include "commands/script.hpp"

#include "supervisor/log_target.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace posthorn::commands {

Script::Script(const config::Snapshot& snapshot, std::string_view name)
    : sink_(supervisor::command_sink(snapshot)), name_(fmt::format("{}/{}", snapshot.text("syslog_name"), name)), log_(sink_, name_)
{
}

void Script::say(observe::Level level, const char* word, const std::string& text)
{
    fmt::print(stderr, "{}: {}{}\n", name_, word, text);
    log_.write(level, text);
}

}  // namespace posthorn::commands
