// postqueue -p -j -f -i ID -s SITE; set-gid to the group that may enter the folder "public".
#include "commands/command.hpp"
#include "commands/drop_program.hpp"
#include "commands/letters.hpp"

#include "base/strings.hpp"
#include "handoff/queue_id.hpp"
#include "inquiry/queue_action.hpp"
#include "inquiry/queue_client.hpp"
#include "inquiry/queue_listing.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <cstdio>

namespace posthorn::commands {

using inquiry::flush_site;
using inquiry::queue_json;
using inquiry::QueueClient;
using inquiry::QueueText;

namespace {

using handoff::QueueCommand;
using namespace submit;

constexpr const char* postqueue_usage = "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";

/// authorized_flush_users, authorized_mailq_users, as far as they need no table; root may always.
void check_user(const config::Snapshot& snapshot, const char* parameter, const char* what)
{
    const uid_t uid = ::getuid();
    if (uid == 0)
        return;
    const std::string user = user_name();
    if (lists_user(snapshot.text(parameter), parameter, user))
        return;
    throw Failure(fmt::format("User {}({}) is not allowed to {}", user, uid, what), exit_no_permission);
}

int run_postqueue(std::span<char*> args)
{
    std::optional<std::string> directory;
    std::optional<char> mode;
    std::string argument;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), postqueue_letters)) > 0;) {
        switch (option) {
        case 'c': directory = ::optarg; break;
        case 'v': break;
        case 'i':
        case 's': argument = ::optarg; [[fallthrough]];
        case 'f':
        case 'j':
        case 'p':
            if (mode)
                throw Failure(postqueue_usage, exit_unavailable);
            mode = static_cast<char>(option);
            break;
        default: throw Failure(postqueue_usage, exit_unavailable);
        }
    }
    if (!mode || ::optind < static_cast<int>(args.size()))
        throw Failure(postqueue_usage, exit_unavailable);
    const config::Snapshot snapshot = load_config("postqueue", directory);
    QueueClient client(snapshot);
    const auto failed = [](const Error& error) { return Failure(error.text(), error.status() == "4.3.0" ? exit_unavailable : exit_temporary); };

    if (*mode == 'p' || *mode == 'j') {
        check_user(snapshot, "authorized_mailq_users", "view the mail queue");
        QueueText text;
        auto listed = client.list([&](const handoff::QueueEntry& entry) {
            const std::string out = *mode == 'p' ? text.entry(entry) : queue_json(entry);
            std::fwrite(out.data(), 1, out.size(), stdout);
        });
        if (!listed)
            throw failed(listed.error());
        if (*mode == 'p')
            fmt::print("{}", text.end());
        return std::fflush(stdout) == 0 ? exit_ok : exit_io;
    }
    check_user(snapshot, "authorized_flush_users", "flush the mail queue");
    QueueCommand command;
    if (*mode == 'f') {
        command.set_verb(QueueCommand::FLUSH);
    } else if (*mode == 'i') {
        if (!handoff::is_queue_id(argument))
            throw Failure(fmt::format("Cannot flush queue ID - invalid name: \"{}\"", printable(argument)), exit_unavailable);
        command.set_verb(QueueCommand::SCHEDULE);
        command.add_queue_ids(argument);
    } else {
        auto site = flush_site(argument);
        if (!site)
            throw Failure(fmt::format("Cannot flush mail queue - invalid destination: \"{}\"", printable(argument)), exit_unavailable);
        command.set_verb(QueueCommand::FLUSH_SITE);
        command.set_argument(*std::move(site));
    }
    auto reply = client.ask(std::move(command));
    if (!reply)
        throw reply.error().text().starts_with("Queue report") ? Failure("Cannot flush mail queue - mail system is down", exit_unavailable)
                                                               : failed(reply.error());
    return exit_ok;
}

}  // namespace

int postqueue(std::span<char*> args) { return guarded("postqueue", run_postqueue, args); }

}  // namespace posthorn::commands
