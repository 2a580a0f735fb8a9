// posthorn queue: what Postfix's commands do not say.
//   --status        counts by queue        --sql QUERY     a read-only query on a snapshot of the spool
//   --backup NAME   a copy of the living queue, as a new folder beside its database
#include "commands/command.hpp"

#include "inquiry/queue_client.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <string_view>

namespace posthorn::commands {

using inquiry::QueueClient;

namespace {

int run_queue(std::span<char*> args)
{
    std::optional<std::string> directory;
    handoff::QueueCommand command;
    bool asked = false;
    constexpr const char* usage = "usage: posthorn queue [-c config_dir] --status | --sql QUERY | --backup NAME";
    for (std::size_t i = 1; i < args.size(); ++i) {
        const std::string_view word = args[i];
        if (word == "-c" && i + 1 < args.size()) {
            directory = args[++i];
        } else if (word == "--status") {
            command.set_verb(handoff::QueueCommand::STATUS);
            asked = true;
        } else if (word == "--sql" && i + 1 < args.size()) {
            command.set_verb(handoff::QueueCommand::SQL);
            command.set_argument(args[++i]);
            asked = true;
        } else if (word == "--backup" && i + 1 < args.size()) {
            command.set_verb(handoff::QueueCommand::BACKUP);
            command.set_argument(args[++i]);
            asked = true;
        } else {
            throw Failure(usage, submit::exit_usage);
        }
    }
    if (!asked)
        throw Failure(usage, submit::exit_usage);
    QueueClient client(load_config("posthorn", directory));
    auto reply = client.ask(std::move(command));
    if (!reply)
        throw Failure(reply.error().text(), reply.error().status() == "4.3.0" ? submit::exit_unavailable : 1);
    const std::string& out = reply->octets().empty() ? reply->text() : reply->octets();
    std::fwrite(out.data(), 1, out.size(), stdout);
    if (!out.ends_with('\n'))
        std::fputc('\n', stdout);
    return 0;
}

}  // namespace

int queue(std::span<char*> args) { return guarded("posthorn queue", run_queue, args); }

}  // namespace posthorn::commands
