// postcat -q: what the queue holds of a message, in Postfix's arrangement.
#include "commands/command.hpp"

#include "base/strings.hpp"
#include "commands/queue_client.hpp"
#include "handoff/queue_id.hpp"
#include "message/header.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <time.h>
#include <unistd.h>

#include <cstdio>

namespace posthorn::commands {

namespace {

std::string time_text(std::int64_t microseconds)
{
    const time_t when = static_cast<time_t>(microseconds / 1'000'000);
    tm parts{};
    ::localtime_r(&when, &parts);
    char text[64];
    return std::string(text, ::strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &parts));
}

/// Lines end as files have them.
std::string local_lines(std::string_view octets)
{
    std::string out;
    out.reserve(octets.size());
    for (std::size_t at = 0; at < octets.size(); ++at)
        if (octets[at] != '\r' || at + 1 == octets.size() || octets[at + 1] != '\n')
            out += octets[at];
    return out;
}

int run(std::span<char*> args)
{
    std::optional<std::string> directory;
    bool body = false, envelope = false, header = false, queue = false;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), "bc:dehoqrsv")) > 0;) {
        switch (option) {
        case 'b': body = true; break;
        case 'c': directory = ::optarg; break;
        case 'e': envelope = true; break;
        case 'h': header = true; break;
        case 'q': queue = true; break;
        case 'd':
        case 'o':
        case 'r':
        case 's':
        case 'v': break;
        default: throw Failure("usage: postcat [-bdehqv] [-c config_dir] [file...]", submit::exit_usage);
        }
    }
    if (!queue)
        throw Failure("only messages in the queue can be shown: use -q and a queue id", submit::exit_usage);
    if (!body && !envelope && !header)
        body = envelope = header = true;
    const config::Snapshot snapshot = load_config("postcat", directory);
    QueueClient client(snapshot);
    for (int i = ::optind; i < static_cast<int>(args.size()); ++i) {
        const std::string id = args[static_cast<std::size_t>(i)];
        if (!handoff::is_queue_id(id))
            throw Failure(fmt::format("bad mail queue ID: {}", printable(id)), submit::exit_usage);
        handoff::QueueCommand command;
        command.set_verb(handoff::QueueCommand::CAT);
        command.add_queue_ids(id);
        auto reply = client.ask(std::move(command));
        if (!reply)
            throw Failure(reply.error().text() == "no such message" ? fmt::format("open queue file {}: No such file or directory", id) : reply.error().text(), 1);
        if (reply->entries().empty())
            throw Failure(fmt::format("open queue file {}: No such file or directory", id), 1);
        const handoff::QueueEntry& entry = reply->entries(0);
        const handoff::Envelope& env = entry.envelope();
        const std::string where = entry.queue_name() + "/" + id;
        std::string out;
        if (envelope) {
            out += fmt::format("*** ENVELOPE RECORDS {} ***\n", where);
            out += fmt::format("message_size: {:>15} {:>15}\nmessage_arrival_time: {}\nsender: {}\n", env.size(), env.recipients_size(), time_text(env.arrival()),
                               printable(env.sender(), true));
            if (!env.client().name().empty())
                out += fmt::format("named_attribute: client_name={}\nnamed_attribute: client_address={}\nnamed_attribute: helo_name={}\n",
                                   printable(env.client().name(), true), env.client().address(), printable(env.client().helo(), true));
            for (const handoff::Recipient& recipient : env.recipients())
                out += fmt::format("original_recipient: {}\nrecipient: {}\n",
                                   printable(recipient.original().empty() ? recipient.address() : recipient.original(), true),
                                   printable(recipient.address(), true));
        }
        const std::string_view octets = reply->octets();
        const std::size_t header_size = message::walk_to_end(octets).header_size();
        if (header || body) {
            if (envelope)
                out += fmt::format("*** MESSAGE CONTENTS {} ***\n", where);
            if (header)
                out += local_lines(octets.substr(0, header_size));
            if (body)
                out += local_lines(octets.substr(header_size));
            if (env.size() > octets.size())
                fmt::print(stderr, "postcat: warning: {}: only the first {} of {} octets are shown\n", id, octets.size(), env.size());
        }
        if (envelope)
            out += fmt::format("*** MESSAGE FILE END {} ***\n", where);
        std::fwrite(out.data(), 1, out.size(), stdout);
    }
    return std::fflush(stdout) == 0 ? 0 : submit::exit_io;
}

}  // namespace

int postcat(std::span<char*> args)
{
    return guarded("postcat", run, args);
}

}  // namespace posthorn::commands
