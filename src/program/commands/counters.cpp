// posthorn counters, posthorn helpers: what each process has counted since it started, asked of posthorn-master; of that, whom they ask while mail waits.
#include "commands/command.hpp"
#include "commands/counters_table.hpp"
#include "inquiry/helper_listing.hpp"
#include "inquiry/master_client.hpp"
#include "submit/exit_status.hpp"

#include <cstdio>
#include <string_view>

namespace posthorn::commands {

namespace {

process::InstanceCounters counters_there(const std::optional<std::string>& directory)
{
    auto counters = inquiry::instance_counters(load_config("posthorn", directory));
    if (!counters)
        throw Failure(counters.error().text(), submit::exit_unavailable);
    return *std::move(counters);
}

int print(const std::string& text)
{
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

int run_counters(std::span<char*> args)
{
    std::optional<std::string> directory;
    if (args.size() == 3 && std::string_view(args[1]) == "-c")
        directory = args[2];
    else if (args.size() != 1)
        throw Failure("usage: posthorn counters [-c config_dir]", submit::exit_usage);
    return print(counters_table(counters_there(directory)));
}

int run_helpers(std::span<char*> args)
{
    std::optional<std::string> directory;
    bool json = false;
    for (std::size_t at = 1; at < args.size(); ++at) {
        const std::string_view word = args[at];
        if (word == "-c" && at + 1 < args.size())
            directory = args[++at];
        else if (word == "--json")
            json = true;
        else
            throw Failure("usage: posthorn helpers [-c config_dir] [--json]", submit::exit_usage);
    }
    const auto helpers = inquiry::helpers_of(counters_there(directory));
    if (!json)
        return print(helpers.empty() ? "Nobody has been asked yet.\n" : helpers_text(helpers));
    std::string lines;
    for (const inquiry::HelperStanding& helper : helpers)
        lines += helper_json(helper) + "\n";
    return print(lines);
}

}  // namespace

int counters(std::span<char*> args) { return guarded("posthorn counters", run_counters, args); }
int helpers(std::span<char*> args) { return guarded("posthorn helpers", run_helpers, args); }

}  // namespace posthorn::commands
