#include "migrate/migrate.hpp"

#include "commands/command.hpp"
#include "config/paths.hpp"
#include "migrate/copy.hpp"
#include "migrate/show.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>

namespace posthorn::migrate {

namespace {

using commands::Failure;

constexpr int nothing_differs = 0, look_at_it = 1, unreadable = 2;
constexpr const char* usage = "usage: posthorn migrate [--json] [--to DIR] [CONFIG_DIR]";

struct Words {
    std::optional<std::string> directory, to;
    bool json = false;
};

Words parse(std::span<char*> args)
{
    Words words;
    for (std::size_t i = 1; i < args.size() && args[i]; ++i) {
        const std::string_view word = args[i];
        const auto operand = [&]() -> std::string {
            if (i + 1 >= args.size() || !args[i + 1] || !*args[i + 1])
                throw Failure(fmt::format("{} needs an operand\n{}", word, usage), submit::exit_usage);
            return args[++i];
        };
        if (word == "--json")
            words.json = true;
        else if (word == "--to")
            words.to = operand();
        else if (word == "-c")
            words.directory = operand();
        else if (word.starts_with('-') || words.directory)
            throw Failure(usage, submit::exit_usage);
        else
            words.directory = word;
    }
    return words;
}

void say(const std::string& text)
{
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
        throw Failure("standard output: write error", submit::exit_io);
}

/// The directory without a slash at its end: paths in the files are compared with it.
std::string chosen(const std::optional<std::string>& word)
{
    std::string path = std::filesystem::absolute(config::choose_config_directory(word)).lexically_normal().string();
    while (path.size() > 1 && path.ends_with('/'))
        path.pop_back();
    return path;
}

int configuration(const Words& words)
{
    const auto found = survey(chosen(words.directory));
    if (!found)
        throw Failure(found.error().text(), unreadable);
    say(words.json ? as_json(*found) : as_text(*found));
    if (words.to) {
        const auto copied = copy_configuration(*found, *words.to);
        if (!copied)
            throw Failure(copied.error().text(), unreadable);
        if (!words.json) {
            say(fmt::format("\nWritten to {}: {} files. Its queue is the same: {}\n", *words.to, copied->files,
                            found->snapshot.text("queue_directory")));
            for (const std::string& one : copied->commented)
                say(fmt::format("  a comment now: {}\n", one));
            for (const std::string& one : copied->left_out)
                say(fmt::format("  not copied: {}\n", one));
        }
    }
    return differs(*found) ? look_at_it : nothing_differs;
}

int run(std::span<char*> args)
{
    const Words words = parse(args);
    const int status = configuration(words);
    return std::fflush(stdout) == 0 ? status : submit::exit_io;
}

}  // namespace

int main(std::span<char*> args) { return commands::guarded("posthorn migrate", run, args); }

}  // namespace posthorn::migrate
