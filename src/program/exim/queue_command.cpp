#include "exim/queue_command.hpp"

#include "commands/command.hpp"
#include "exim/give_back_exim.hpp"
#include "exim/take_over_exim.hpp"
#include "migrate/show.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

namespace posthorn::exim {

namespace {

using commands::Failure;

constexpr int nothing_to_see = 0, look_at_it = 1, not_done = 2;
constexpr const char* queue_usage = "usage: posthorn migrate --exim-queue | --exim-queue-back [-c CONFIG_DIR] [--json] SPOOL_DIR";
constexpr std::string_view queue_word = "--exim-queue", back_word = "--exim-queue-back";

struct QueueWords {
    std::optional<std::string> config;
    std::string spool;
    bool json = false, in = false, back = false;
};

QueueWords parse_queue(std::span<char*> args)
{
    QueueWords words;
    for (std::size_t i = 1; i < args.size() && args[i]; ++i) {
        const std::string_view word = args[i];
        if (word == queue_word)
            words.in = true;
        else if (word == back_word)
            words.back = true;
        else if (word == "--json")
            words.json = true;
        else if (word == "-c" && i + 1 < args.size() && args[i + 1] && *args[i + 1])
            words.config = args[++i];
        else if (word.starts_with('-') || word.empty() || !words.spool.empty())
            throw Failure(queue_usage, submit::exit_usage);
        else
            words.spool = word;
    }
    if (words.spool.empty() || words.in == words.back)
        throw Failure(queue_usage, submit::exit_usage);
    return words;
}

int run_queue(std::span<char*> args)
{
    const QueueWords words = parse_queue(args);
    const config::Snapshot snapshot = commands::load_config("posthorn migrate", words.config);
    std::string spool = std::filesystem::absolute(words.spool).lexically_normal().string();
    while (spool.size() > 1 && spool.ends_with('/'))
        spool.pop_back();
    std::error_code ignored;
    if (!std::filesystem::is_directory(spool + "/input", ignored))
        throw Failure(fmt::format("{}: no spool of Exim's: it has no folder input", spool), not_done);
    const auto taken = words.in ? take_over_queue(snapshot, spool) : give_back_queue(snapshot, spool);
    if (!taken)
        throw Failure(taken.error().text(), not_done);
    const std::string text = words.json ? migrate::as_json(*taken) : migrate::as_text(*taken, words.in);
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        throw Failure("standard output: write error", submit::exit_io);
    return taken->troubles.empty() ? nothing_to_see : look_at_it;
}

}  // namespace

bool is_queue_asked_for(std::span<char*> args)
{
    return std::ranges::any_of(args, [](const char* word) { return word && (word == queue_word || word == back_word); });
}

int queue_main(std::span<char*> args) { return commands::guarded("posthorn migrate", run_queue, args); }

}  // namespace posthorn::exim
