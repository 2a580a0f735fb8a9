// posthorn counters: what each process has counted since it started, asked of posthorn-master.
#include "commands/command.hpp"
#include "commands/counters_table.hpp"
#include "inquiry/ask.hpp"
#include "ipc/client.hpp"
#include "process/control.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <string_view>

namespace posthorn::commands {

using inquiry::ask;

namespace {

int run_counters(std::span<char*> args)
{
    std::optional<std::string> directory;
    if (args.size() == 3 && std::string_view(args[1]) == "-c")
        directory = args[2];
    else if (args.size() != 1)
        throw Failure("usage: posthorn counters [-c config_dir]", submit::exit_usage);
    const config::Snapshot snapshot = load_config("posthorn", directory);
    auto connected = ipc::connect_unix(fmt::format("{}/{}", snapshot.text("queue_directory"), process::master_socket));
    if (!connected)
        throw Failure(connected.error().text(), submit::exit_unavailable);
    ipc::ChannelOptions options;
    options.name = "master";
    options.frame_limit = process::question_frame_limit;
    const auto counters =
        ask<process::InstanceCounters>(*std::move(connected), options, process::Control::instance_counters, process::InstanceQuestion{});
    if (!counters)
        throw Failure(counters.error().text(), submit::exit_unavailable);
    const std::string text = counters_table(*counters);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

}  // namespace

int counters(std::span<char*> args) { return guarded("posthorn counters", run_counters, args); }

}  // namespace posthorn::commands
