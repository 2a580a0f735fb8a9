// postlog: a line, or the lines of standard input, into the mail log.
#include "commands/command.hpp"
#include "commands/letters.hpp"

#include "base/strings.hpp"
#include "supervisor/log_target.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <iostream>
#include <utility>

namespace posthorn::commands {

namespace {

int run_postlog(std::span<char*> args)
{
    std::optional<std::string> directory, tag;
    observe::Level level = observe::Level::info;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), postlog_letters)) > 0;) {
        switch (option) {
        case 'c': directory = ::optarg; break;
        case 'i':
        case 'v': break;                                           // the process id is always there
        case 't': tag = ::optarg; break;
        case 'p': {
            using observe::Level;
            static constexpr std::pair<std::string_view, Level> words[] = {{"info", Level::info},       {"warn", Level::warning},
                                                                           {"warning", Level::warning}, {"error", Level::error},
                                                                           {"fatal", Level::fatal},     {"panic", Level::panic}};
            const auto found = std::ranges::find(words, std::string_view(::optarg), &std::pair<std::string_view, Level>::first);
            if (found == std::end(words))
                throw Failure(fmt::format("bad -p option value: {}", printable(::optarg)), 1);
            level = found->second;
            break;
        }
        default: throw Failure("usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text...]", 1);
        }
    }
    const config::Snapshot snapshot = load_config("postlog", directory);
    const auto sink = supervisor::command_sink(snapshot);
    const std::string name = tag ? *tag : snapshot.text("syslog_name") + "/postlog";
    const observe::Log log(sink, name);
    const std::string word = level == observe::Level::info      ? ""
                             : level == observe::Level::warning ? "warning: "
                             : level == observe::Level::error   ? "error: "
                             : level == observe::Level::fatal   ? "fatal: "
                                                                : "panic: ";
    const auto say = [&](const std::string& line) {
        log.write(level, line);
        if (::isatty(STDERR_FILENO))
            fmt::print(stderr, "{}: {}{}\n", name, word, printable(line, true));
    };
    std::string text;
    for (int i = ::optind; i < static_cast<int>(args.size()); ++i)
        text += (text.empty() ? "" : " ") + std::string(args[static_cast<std::size_t>(i)]);
    if (!text.empty())
        say(text);
    else
        for (std::string line; std::getline(std::cin, line);)
            say(line.substr(0, 4096));
    return 0;
}

}  // namespace

int postlog(std::span<char*> args) { return guarded("postlog", run_postlog, args); }

}  // namespace posthorn::commands
