// posthorn transcript: what was said in outbound sessions. Reads the data directory: works while the mail system is down, for who may read it.
#include "commands/command.hpp"
#include "inquiry/transcripts.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <string_view>

namespace posthorn::commands {

using inquiry::concerns;
using inquiry::json_of;
using inquiry::line_of;
using inquiry::read_transcripts;
using inquiry::text_of;

namespace {

constexpr const char* transcript_usage = "usage: posthorn transcript [-c config_dir] [--json] [--last] [QUEUE-ID | ADDRESS | HOST | SITE]";

int run_transcript(std::span<char*> args)
{
    std::optional<std::string> directory, word;
    bool json = false, last = false;
    for (std::size_t at = 1; at < args.size(); ++at) {
        const std::string_view arg = args[at];
        if (arg == "-c" && at + 1 < args.size())
            directory = args[++at];
        else if (arg == "--json")
            json = true;
        else if (arg == "--last")
            last = true;
        else if (!arg.starts_with('-') && !arg.empty() && !word)
            word = arg;
        else
            throw Failure(transcript_usage, submit::exit_usage);
    }
    const config::Snapshot snapshot = load_config("posthorn", directory);
    auto transcripts = read_transcripts(snapshot);
    if (!transcripts)
        throw Failure(transcripts.error().text(), submit::exit_no_permission);
    if (word)
        std::erase_if(*transcripts, [&](const handoff::Transcript& one) { return !concerns(one, *word); });
    if (transcripts->empty()) {
        fmt::print(stderr, "posthorn transcript: none kept{}{}\n", word ? " of " : "", word.value_or(""));
        return 1;
    }
    if (last)
        transcripts->erase(transcripts->begin(), transcripts->end() - 1);
    std::string out;
    for (const handoff::Transcript& one : *transcripts)
        out += json ? json_of(one) + "\n" : word || last ? (out.empty() ? "" : "\n") + text_of(one) : line_of(one);
    std::fwrite(out.data(), 1, out.size(), stdout);
    return 0;
}

}  // namespace

int transcript(std::span<char*> args) { return guarded("posthorn transcript", run_transcript, args); }

}  // namespace posthorn::commands
