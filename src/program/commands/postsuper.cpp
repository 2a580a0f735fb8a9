// postsuper: an operator's hand on the queue, through qmgr (its sole writer).
#include "commands/command.hpp"
#include "commands/letters.hpp"

#include "base/strings.hpp"
#include "handoff/queue_id.hpp"
#include "inquiry/queue_action.hpp"
#include "inquiry/queue_client.hpp"
#include "submit/exit_status.hpp"
#include "supervisor/log_target.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <optional>
#include <vector>

namespace posthorn::commands {

using inquiry::queue_actions;
using inquiry::QueueAction;
using inquiry::QueueClient;

namespace {

using handoff::QueueCommand;

/// What is counted, in the order of the summary.
enum Count { requeued, deleted, expired, held, released, counts };
constexpr std::array<const char*, counts> summaries{"Requeued", "Deleted", "Force-expired", "Placed on hold", "Released from hold"};

Count counted_as(QueueCommand::Verb verb)
{
    switch (verb) {
    case QueueCommand::REQUEUE: return requeued;
    case QueueCommand::DELETE: return deleted;
    case QueueCommand::HOLD: return held;
    case QueueCommand::RELEASE: return released;
    default: return expired;
    }
}

std::vector<std::string> ids_of(const std::string& word)
{
    if (word != "-")
        return {word};
    std::vector<std::string> ids;
    for (std::string line; std::getline(std::cin, line);)
        ids.emplace_back(trim(line));
    return ids;
}

int run_postsuper(std::span<char*> args)
{
    std::optional<std::string> directory;
    std::vector<std::pair<const QueueAction*, std::string>> requests;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), postsuper_letters)) > 0;) {
        if (option == 'c') {
            directory = ::optarg;
            continue;
        }
        if (option == 'p' || option == 's' || option == 'S' || option == 'v')
            continue;                                              // the queue has no structure that could be out of order
        const auto action = std::ranges::find(queue_actions, static_cast<char>(option), &QueueAction::option);
        if (action == std::end(queue_actions))
            throw Failure("usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] [-f queue_id (expire and release)] "
                          "[-h queue_id (hold)] [-H queue_id (release)] [-r queue_id (requeue)] [-psSv] [queue...]",
                          1);
        requests.emplace_back(action, ::optarg);
    }
    std::string queues;
    for (int i = ::optind; i < static_cast<int>(args.size()); ++i) {
        const std::string_view queue = args[static_cast<std::size_t>(i)];
        static constexpr std::string_view known[] = {"hold", "incoming", "active", "deferred"};
        if (std::ranges::find(known, queue) == std::end(known))
            throw Failure(fmt::format("invalid directory name: {}", printable(queue)), 1);
        queues += (queues.empty() ? "" : " ") + std::string(queue);
    }
    const config::Snapshot snapshot = load_config("postsuper", directory);
    reserved_for_owner(snapshot);

    const auto sink = supervisor::command_sink(snapshot);
    const observe::Log log(sink, snapshot.text("syslog_name") + "/postsuper");
    const auto say = [&](const std::string& line) {
        fmt::print(stderr, "postsuper: {}\n", line);
        log.info("{}", line);
    };
    const auto warn = [&](std::string_view line) {
        fmt::print(stderr, "postsuper: warning: {}\n", printable(line, true));
        log.warning("{}", printable(line, true));
    };
    QueueClient client(snapshot);
    std::array<std::optional<std::uint64_t>, counts> done;
    for (const auto& [action, word] : requests) {
        const Count count = counted_as(action->verb);
        done[count].emplace(done[count].value_or(0));
        if (action->verb == QueueCommand::EXPIRE_RELEASE)
            done[released].emplace(done[released].value_or(0));
        for (const std::string& id : ids_of(word)) {
            if (id != "ALL" && !handoff::is_queue_id(id)) {
                warn(fmt::format("invalid mail queue id: {}", id));
                continue;
            }
            QueueCommand command;
            command.set_verb(action->verb);
            command.add_queue_ids(id);
            command.set_argument(queues.empty() ? action->queues : queues);
            auto reply = client.ask(std::move(command));
            if (!reply)
                throw Failure(reply.error().text(), reply.error().status() == "4.3.0" ? submit::exit_unavailable : 1);
            *done[count] += reply->count();
            if (id != "ALL" && reply->count() > 0)
                say(fmt::format("{}: {}", id, action->done));
            if (reply->released() > 0) {
                *done[released] += reply->released();
                if (id != "ALL")
                    say(fmt::format("{}: released from hold", id));
            }
            for (const std::string_view trouble : split(reply->text(), "\n"))
                warn(trouble);
        }
    }
    for (std::size_t i = 0; i < counts; ++i)
        if (done[i])
            say(fmt::format("{}: {} message{}", summaries[i], *done[i], *done[i] == 1 ? "" : "s"));
    return 0;
}

}  // namespace

int postsuper(std::span<char*> args) { return guarded("postsuper", run_postsuper, args); }

}  // namespace posthorn::commands
