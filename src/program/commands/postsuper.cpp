// postsuper: an operator's hand on the queue, through qmgr (its sole writer).
#include "commands/command.hpp"

#include "base/strings.hpp"
#include "commands/queue_client.hpp"
#include "handoff/queue_id.hpp"
#include "submit/exit_status.hpp"
#include "supervisor/log_target.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <iostream>
#include <vector>

namespace posthorn::commands {

namespace {

using handoff::QueueCommand;

struct Action {
    char option;
    QueueCommand::Verb verb;
    const char* done;                      // "QID: removed"
    const char* summary;                   // "Deleted: 2 messages"
};
constexpr Action actions[] = {
    {'d', QueueCommand::DELETE, "removed", "Deleted"},
    {'e', QueueCommand::EXPIRE, "expired", "Expired"},
    {'f', QueueCommand::EXPIRE, "expired", "Expired"},
    {'h', QueueCommand::HOLD, "placed on hold", "Placed on hold"},
    {'H', QueueCommand::RELEASE, "released from hold", "Released from hold"},
    {'r', QueueCommand::REQUEUE, "requeued", "Requeued"},
};

/// The instance's master is root's, or the user's own.
void reserved_for_owner(const config::Snapshot& snapshot)
{
    struct stat about{};
    if (::getuid() != 0 && (::stat(snapshot.text("queue_directory").c_str(), &about) != 0 || about.st_uid != ::getuid()))
        throw Failure("use of this command is reserved for the superuser", 1);
}

int run(std::span<char*> args)
{
    std::optional<std::string> directory;
    std::vector<std::pair<const Action*, std::string>> requests;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), "c:d:e:f:h:H:pr:sSv")) > 0;) {
        if (option == 'c') {
            directory = ::optarg;
            continue;
        }
        if (option == 'p' || option == 's' || option == 'S' || option == 'v')
            continue;                                              // the queue has no structure that could be out of order
        const auto action = std::ranges::find(actions, static_cast<char>(option), &Action::option);
        if (action == std::end(actions))
            throw Failure("usage: postsuper [-c config_dir] [-d queue_id] [-e queue_id] [-f queue_id] [-h queue_id] [-H queue_id] [-r queue_id] [-psSv] "
                          "[directory...]",
                          submit::exit_usage);
        requests.emplace_back(action, ::optarg);
    }
    const config::Snapshot snapshot = load_config("postsuper", directory);
    reserved_for_owner(snapshot);
    std::string queues;
    for (int i = ::optind; i < static_cast<int>(args.size()); ++i) {
        const std::string_view queue = args[static_cast<std::size_t>(i)];
        static constexpr std::string_view known[] = {"hold", "incoming", "active", "deferred"};
        if (std::ranges::find(known, queue) == std::end(known))
            throw Failure(fmt::format("Invalid directory name: {}", printable(queue)), submit::exit_usage);
        queues += (queues.empty() ? "" : " ") + std::string(queue);
    }

    const auto sink = supervisor::command_sink(snapshot);
    const observe::Log log(sink, snapshot.text("syslog_name") + "/postsuper");
    const auto say = [&](const std::string& line) {
        fmt::print(stderr, "postsuper: {}\n", line);
        log.info("{}", line);
    };
    QueueClient client(snapshot);
    int status = 0;
    for (const auto& [action, word] : requests) {
        std::vector<std::string> ids;
        if (word == "-") {
            for (std::string line; std::getline(std::cin, line);)
                for (const std::string_view id : split(line))
                    ids.emplace_back(id);
        } else {
            ids.push_back(word);
        }
        std::uint64_t count = 0;
        for (const std::string& id : ids) {
            if (id != "ALL" && !handoff::is_queue_id(id)) {
                fmt::print(stderr, "postsuper: warning: invalid mail queue id: {}\n", printable(id));
                status = 1;
                continue;
            }
            QueueCommand command;
            command.set_verb(action->verb);
            command.add_queue_ids(id);
            command.set_argument(queues);
            auto reply = client.ask(std::move(command));
            if (!reply)
                throw Failure(reply.error().text(), reply.error().status() == "4.3.0" ? submit::exit_unavailable : 1);
            count += reply->count();
            if (id != "ALL" && reply->count() > 0)
                say(fmt::format("{}: {}", id, action->done));
        }
        if (count > 0)
            say(fmt::format("{}: {} message{}", action->summary, count, count == 1 ? "" : "s"));
    }
    sink->flush();
    return status;
}

}  // namespace

int postsuper(std::span<char*> args)
{
    return guarded("postsuper", run, args);
}

}  // namespace posthorn::commands
