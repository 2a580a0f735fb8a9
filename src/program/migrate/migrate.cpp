#include "migrate/migrate.hpp"

#include "base/strings.hpp"
#include "commands/command.hpp"
#include "config/paths.hpp"
#include "migrate/answers.hpp"
#include "migrate/copy.hpp"
#include "migrate/give_back.hpp"
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
constexpr const char* usage = "usage: posthorn migrate [--json] [--to DIR] [CONFIG_DIR]\n"
                              "       posthorn migrate --exim FILE [--json] [--to DIR]\n"
                              "       posthorn migrate --kumomta FILE [--json] [--to DIR]\n"
                              "       posthorn migrate --ask [FILE] [--cap N] [--postfix ROOT] [--json] [CONFIG_DIR]\n"
                              "       posthorn migrate --queue | --queue-back [-c CONFIG_DIR] [--json] [QUEUE_DIR]\n"
                              "       posthorn migrate --exim-queue | --exim-queue-back [-c CONFIG_DIR] [--json] SPOOL_DIR";

struct Words {
    std::optional<std::string> directory, to, questions, config;
    std::string postfix_root = "/";
    std::size_t cap = 50;
    bool json = false, ask = false, queue = false, queue_back = false;
};

Words parse(std::span<char*> args)
{
    Words words;
    for (std::size_t i = 1; i < args.size() && args[i]; ++i) {
        const std::string_view word = args[i];
        const auto operand = [&] { return commands::operand_of(args, i, usage); };
        if (word == "--json")
            words.json = true;
        else if (word == "--to")
            words.to = operand();
        else if (word == "--ask") {
            words.ask = true;
            std::error_code ignored;                               // what is no file is the configuration directory
            if (i + 1 < args.size() && args[i + 1] && std::filesystem::is_regular_file(args[i + 1], ignored))
                words.questions = args[++i];
        } else if (word == "--queue")
            words.queue = true;
        else if (word == "--queue-back")
            words.queue_back = true;
        else if (word == "--postfix")
            words.postfix_root = operand();
        else if (word == "--cap") {
            const auto number = parse_number(operand());
            if (!number || *number > 100'000)
                throw Failure(fmt::format("--cap needs a number up to 100000\n{}", usage), submit::exit_usage);
            words.cap = *number;
        } else if (word == "-c")
            words.config = operand();
        else if (word.starts_with('-') || words.directory)
            throw Failure(usage, submit::exit_usage);
        else
            words.directory = word;
    }
    const bool queue = words.queue || words.queue_back;
    if ((words.queue && words.queue_back) || (queue && (words.ask || words.to)) || (words.ask && words.to) ||
        (!queue && words.config && words.directory))
        throw Failure(usage, submit::exit_usage);
    if (!queue && words.config)
        words.directory = words.config;
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

int answers(const Words& words)
{
    const auto found = survey(chosen(words.directory));
    if (!found)
        throw Failure(found.error().text(), unreadable);
    if (!found->starts)
        throw Failure(fmt::format("{} does not start here: see `posthorn migrate {}`", found->directory, found->directory), unreadable);
    Questions questions;
    if (words.questions) {
        const auto text = config::read_file(*words.questions);
        auto parsed = text ? parse_questions(*text, *words.questions, *found) : text.error();
        if (!parsed)
            throw Failure(parsed.error().text(), unreadable);
        questions = *std::move(parsed);
    } else {
        questions = built_in_questions(*found, {.table_cap = words.cap});
    }
    const auto compared = compare_answers(*found, std::move(questions), words.postfix_root);
    if (!compared)
        throw Failure(compared.error().text(), unreadable);
    say(words.json ? as_json(*compared) : as_text(*compared));
    return compared->differ() > 0 ? look_at_it : nothing_differs;
}

int queue(const Words& words)
{
    const config::Snapshot snapshot = commands::load_config("posthorn migrate", words.config);
    const std::string folder = std::filesystem::absolute(words.directory.value_or(snapshot.text("queue_directory"))).lexically_normal().string();
    std::error_code ignored;
    if (!std::filesystem::is_directory(folder, ignored))
        throw Failure(fmt::format("{}: no such directory", folder), unreadable);
    const auto taken = words.queue ? take_over_queue(snapshot, folder) : give_back_queue(snapshot, folder);
    if (!taken)
        throw Failure(taken.error().text(), unreadable);
    say(words.json ? as_json(*taken) : as_text(*taken, words.queue));
    return taken->troubles.empty() ? nothing_differs : look_at_it;
}

int run(std::span<char*> args)
{
    const Words words = parse(args);
    const int status = words.queue || words.queue_back ? queue(words) : words.ask ? answers(words) : configuration(words);
    return std::fflush(stdout) == 0 ? status : submit::exit_io;
}

}  // namespace

int main(std::span<char*> args) { return commands::guarded("posthorn migrate", run, args); }

}  // namespace posthorn::migrate
