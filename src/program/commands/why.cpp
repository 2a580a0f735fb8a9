// posthorn why: why a message is still here, an address does not answer, a domain gets nothing.
#include "commands/command.hpp"
#include "inquiry/why_question.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <string_view>

namespace posthorn::commands {

using inquiry::ask_why;
using inquiry::Why;
using inquiry::why_json;
using inquiry::why_text;

namespace {

constexpr const char* why_usage = "usage: posthorn why [-c config_dir] [--json] QUEUE-ID | ADDRESS | DOMAIN | SITE";

int run_why(std::span<char*> args)
{
    std::optional<std::string> directory, word;
    bool json = false;
    for (std::size_t at = 1; at < args.size(); ++at) {
        const std::string_view arg = args[at];
        if (arg == "-c" && at + 1 < args.size())
            directory = args[++at];
        else if (arg == "--json")
            json = true;
        else if (!arg.starts_with('-') && !arg.empty() && !word)
            word = arg;
        else
            throw Failure(why_usage, submit::exit_usage);
    }
    if (!word)
        throw Failure(why_usage, submit::exit_usage);
    const auto [why, down] = ask_why(load_config("posthorn", directory), *word);
    const WallTime now = SystemClock().wall();
    const bool known = why.known();
    if (known || json) {
        const std::string out = json ? why_json(why, now) + "\n" : why_text(why, now);
        std::fwrite(out.data(), 1, out.size(), stdout);
    }
    if (known)
        return 0;
    for (const std::string& note : why.notes)
        fmt::print(stderr, "posthorn why: {}\n", note);
    fmt::print(stderr, "posthorn why: {}: nothing is known of it{}\n", *word,
               why.kind == Why::Kind::message ? ": not in the queue, and no transcript names it" : "");
    return down ? submit::exit_unavailable : 1;
}

}  // namespace

int why(std::span<char*> args) { return guarded("posthorn why", run_why, args); }

}  // namespace posthorn::commands
