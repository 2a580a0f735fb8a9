// posthorn suspend, bounce, resume, orders: what an operator orders for destinations. qmgr keeps it; it is in force when the command returns.
#include "commands/command.hpp"

#include "base/strings.hpp"
#include "config/master_cf.hpp"
#include "inquiry/orders.hpp"
#include "inquiry/queue_client.hpp"
#include "route/params.hpp"
#include "route/pools.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace posthorn::commands {

using inquiry::OrderWords;

namespace {

using handoff::Order;
using handoff::QueueCommand;

struct OrderArguments {
    std::optional<std::string> directory;
    OrderWords words;
    bool named = false, all = false, json = false;
};

/// `takes`: the options beside -c, each with a blank behind it.
OrderArguments order_arguments(std::span<char*> args, std::string_view takes, const char* usage)
{
    OrderArguments made;
    for (std::size_t at = 1; at < args.size() && args[at]; ++at) {
        const std::string_view word = args[at];
        const bool taken = takes.find(std::string(word) + " ") != takes.npos, has_value = at + 1 < args.size() && args[at + 1];
        if (word == "-c" && has_value)
            made.directory = args[++at];
        else if (word == "--from" && taken && has_value)
            made.words.sender = args[++at];
        else if (word == "--for" && taken && has_value)
            made.words.lasts = args[++at];
        else if (word == "--reason" && taken && has_value)
            made.words.reason = args[++at];
        else if (word == "--yes" && taken)
            made.words.sure = true;
        else if (word == "--all" && taken)
            made.all = true;
        else if (word == "--json" && taken)
            made.json = true;
        else if (!word.starts_with('-') && !made.named && takes.starts_with("DESTINATION ")) {
            made.words.destination = word;
            made.named = true;
        } else
            throw Failure(usage, submit::exit_usage);
    }
    return made;
}

handoff::QueueReply asked(const config::Snapshot& snapshot, Result<QueueCommand> command)
{
    if (!command)
        throw Failure(command.error().text(), submit::exit_usage);
    auto reply = inquiry::QueueClient(snapshot).ask(*std::move(command));
    if (!reply)
        throw Failure(reply.error().text(), reply.error().status() == "4.3.0" ? submit::exit_unavailable : 1);
    return *std::move(reply);
}

/// A word that names nothing here holds up nothing; it may be meant for later.
void warn_of_unknown_transport(const config::Snapshot& snapshot, std::string_view command, const std::string& destination)
{
    const auto colon = destination.find(':');
    if (colon == destination.npos || destination.find('@') < colon || destination.starts_with('['))
        return;
    const std::string_view name = std::string_view(destination).substr(0, colon);
    const auto master = config::read_master_cf(snapshot.config_directory() + "/master.cf");
    const auto pools = route::Pools::parse(snapshot.get(route::pooled_transports));
    const auto is_it = [&](const config::ServiceLine& line) { return iequals(line.name, name) && line.type == config::Transport::unix_stream; };
    if (master && std::ranges::none_of(master->services, is_it) && (!pools || !pools->members(name)))
        fmt::print(stderr, "posthorn {}: warning: master.cf has no transport \"{}\", and pooled_transports no pool of this name\n", command,
                   printable(name, true));
}

int give(std::span<char*> args, Order::Kind kind, std::string_view name, std::string_view takes, const char* usage)
{
    const OrderArguments given = order_arguments(args, takes, usage);
    if (!given.named)
        throw Failure(usage, submit::exit_usage);
    auto command = inquiry::order_command(kind, given.words, operator_name());
    if (!command)
        throw Failure(command.error().text(), submit::exit_usage);
    const config::Snapshot snapshot = load_config("posthorn", given.directory);
    reserved_for_owner(snapshot);
    warn_of_unknown_transport(snapshot, name, command->order().destination());
    for (const Order& order : asked(snapshot, std::move(command)).orders())
        fmt::print("{}\n", inquiry::order_line(order));
    return 0;
}

int run_suspend(std::span<char*> args)
{
    return give(
        args, Order::SUSPEND, "suspend", "DESTINATION --from --for --reason ",
        "usage: posthorn suspend [-c config_dir] DESTINATION [--from SENDER] [--for TIME] [--reason TEXT]\n"
        "       DESTINATION: a domain, .domain with those below, an address, transport:, transport:nexthop, or *; SENDER: an address, @domain or <>");
}

int run_bounce(std::span<char*> args)
{
    return give(
        args, Order::BOUNCE, "bounce", "DESTINATION --from --for --reason --yes ",
        "usage: posthorn bounce [-c config_dir] DESTINATION [--from SENDER] [--for TIME] [--reason TEXT] [--yes]\n"
        "       DESTINATION: a domain, .domain with those below, an address, transport:, transport:nexthop, or * (with --yes); SENDER: an address, "
        "@domain or <>");
}

int run_resume(std::span<char*> args)
{
    constexpr const char* usage = "usage: posthorn resume [-c config_dir] DESTINATION [--from SENDER] | --all";
    const OrderArguments given = order_arguments(args, "DESTINATION --from --all ", usage);
    if (given.named == given.all || (given.all && given.words.sender) || (given.named && given.words.destination.empty()))
        throw Failure(usage, submit::exit_usage);
    auto command = inquiry::end_command(given.words.destination, given.words.sender, operator_name());
    if (!command)
        throw Failure(command.error().text(), submit::exit_usage);
    const config::Snapshot snapshot = load_config("posthorn", given.directory);
    reserved_for_owner(snapshot);
    const handoff::QueueReply reply = asked(snapshot, std::move(command));
    for (const Order& order : reply.orders())
        fmt::print("{}\n", inquiry::ended_line(order));
    if (reply.orders().empty() && given.named) {
        fmt::print(stderr, "posthorn resume: {}: no such order is in force (posthorn orders)\n", printable(given.words.destination, true));
        return 1;
    }
    return 0;
}

int run_orders(std::span<char*> args)
{
    const OrderArguments given = order_arguments(args, "--json ", "usage: posthorn orders [-c config_dir] [--json]");
    const config::Snapshot snapshot = load_config("posthorn", given.directory);
    QueueCommand command;
    command.set_verb(QueueCommand::ORDERS);
    const handoff::QueueReply reply = asked(snapshot, std::move(command));
    for (const Order& order : reply.orders())
        fmt::print("{}\n", given.json ? inquiry::order_json(order) : inquiry::order_line(order));
    if (reply.orders().empty() && !given.json)
        fmt::print("no order is in force\n");
    return 0;
}

}  // namespace

int suspend(std::span<char*> args) { return guarded("posthorn suspend", run_suspend, args); }
int bounce(std::span<char*> args) { return guarded("posthorn bounce", run_bounce, args); }
int resume(std::span<char*> args) { return guarded("posthorn resume", run_resume, args); }
int orders(std::span<char*> args) { return guarded("posthorn orders", run_orders, args); }

}  // namespace posthorn::commands
