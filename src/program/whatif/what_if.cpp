#include "whatif/what_if.hpp"

#include "base/strings.hpp"
#include "commands/command.hpp"
#include "config/paths.hpp"
#include "submit/exit_status.hpp"
#include "whatif/log_files.hpp"
#include "whatif/report.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <optional>

namespace posthorn::whatif {

namespace {

using commands::Failure;

constexpr int nothing_differs = 0, look_at_it = 1, unreadable = 2;
constexpr std::size_t most_at_most = 1'000'000;
constexpr const char* usage = "usage: posthorn what-if --config NEW_DIR [-c CONFIG_DIR] [--log FILE]... [--most N] [--json]";

struct Words {
    std::string next;
    std::optional<std::string> now;
    std::vector<std::string> logs;
    Limits limits;
    bool json = false;
};

Words parse(std::span<char*> args)
{
    Words words;
    for (std::size_t i = 1; i < args.size() && args[i]; ++i) {
        const std::string_view word = args[i];
        const auto operand = [&] { return commands::operand_of(args, i, usage); };
        if (word == "--json")
            words.json = true;
        else if (word == "--config")
            words.next = operand();
        else if (word == "-c")
            words.now = operand();
        else if (word == "--log")
            words.logs.push_back(operand());
        else if (word == "--most") {
            const auto number = parse_number(operand());
            if (!number || *number == 0 || *number > most_at_most)
                throw Failure(fmt::format("--most needs a number from 1 to {}\n{}", most_at_most, usage), submit::exit_usage);
            words.limits.questions = *number;
        } else
            throw Failure(usage, submit::exit_usage);
    }
    if (words.next.empty())
        throw Failure(usage, submit::exit_usage);
    return words;
}

/// Without a slash at its end: paths in the files are compared with it.
std::string whole_path(const std::string& word)
{
    std::string path = std::filesystem::absolute(word).lexically_normal().string();
    while (path.size() > 1 && path.ends_with('/'))
        path.pop_back();
    return path;
}

template <class T>
T or_fail(Result<T> result)
{
    if (!result)
        throw Failure(result.error().text(), unreadable);
    return *std::move(result);
}

migrate::Survey survey_of(const std::string& directory, bool copied)
{
    migrate::Survey survey = or_fail(migrate::survey(directory, copied));
    if (!survey.starts)
        throw Failure(fmt::format("{} would not start: see `posthorn migrate {}`", directory, directory), unreadable);
    return survey;
}

/// `unread` gets what was not read.
LogQuestions questions_of(const Words& words, const config::Snapshot& snapshot, std::vector<std::string>& unread)
{
    LogFiles files{.paths = words.logs, .unread = {}};
    if (words.logs.empty())
        files = or_fail(log_files(snapshot));
    MailLog log;
    for (const std::string& path : files.paths)
        if (const auto read = read_log(path, log); !read)
            throw Failure(read.error().text(), unreadable);
    unread = std::move(files.unread);
    return log.take();
}

int run(std::span<char*> args)
{
    const Words words = parse(args);
    Report report{.now = whole_path(config::choose_config_directory(words.now)), .next = whole_path(words.next)};
    if (std::error_code ignored; std::filesystem::equivalent(report.now, report.next, ignored))
        throw Failure(fmt::format("{} is the configuration in force: make a copy of it, and change that\n{}", report.next, usage),
                      submit::exit_usage);
    const migrate::Survey now = survey_of(report.now, false), next = survey_of(report.next, true);
    report.changes = changes_between(now, next);
    report.comparison = or_fail(compare(now, next, questions_of(words, now.snapshot, report.unread), words.limits));
    const std::string text = words.json ? as_json(report) : as_text(report);
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        throw Failure("standard output: write error", submit::exit_io);
    return differing_answers(report) > 0 ? look_at_it : nothing_differs;
}

}  // namespace

int main(std::span<char*> args) { return commands::guarded("posthorn what-if", run, args); }

}  // namespace posthorn::whatif
