#include "base/strings.hpp"
#include "deliver/local_work.hpp"
#include "deliver/pipe_agent.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace posthorn::deliver {

awaitable<Result<std::optional<std::string>>> LocalAgent::ask(const tables::Maps* maps, std::string key)
{
    if (maps->empty())
        co_return std::optional<std::string>{};
    co_return co_await maps->lookup(std::move(key));
}

LocalNames LocalAgent::names_of(const Work& work, const Place& place) const
{
    const PipeMail mail = mail_of(*work.request);
    const handoff::Recipient& recipient = *work.recipient;
    LocalNames names{{"local", place.local},
                     {"extension", place.extension},
                     {"domain", place.domain},
                     {"recipient", recipient.address()},
                     {"original_recipient", recipient.original().empty() ? recipient.address() : recipient.original()},
                     {"sender", mail.sender},
                     {"client_address", mail.client_address},
                     {"client_hostname", mail.client_name},
                     {"client_helo", mail.client_helo},
                     {"client_protocol", mail.client_protocol},
                     {"sasl_method", mail.sasl_method},
                     {"sasl_sender", mail.sasl_sender},
                     {"sasl_username", mail.sasl_username}};
    names["user"] = place.account ? place.account->name : place.local.substr(0, tables::extension_at(place.local, options_.delimiter));
    if (place.account) {
        names["home"] = place.account->home;
        names["shell"] = place.account->shell;
    }
    if (!place.extension.empty())
        names["recipient_delimiter"] = place.local.substr(tables::extension_at(place.local, options_.delimiter), 1);
    return names;
}

WrittenNames LocalAgent::written_names(const Work& work, const Place& place) const
{
    const handoff::Recipient& recipient = *work.recipient;
    return {place.sender, recipient.original().empty() ? recipient.address() : recipient.original(), place.delivered, teller_.wall()};
}

awaitable<void> LocalAgent::to_mailbox(Work* work, Place place, std::optional<Account> account)
{
    const std::string name =
        account ? account->name : to_lower(std::string_view(place.local).substr(0, tables::extension_at(place.local, options_.delimiter)));
    const auto chosen = co_await ask(&asked_.mailbox_transports, name);
    if (!chosen)
        co_return co_await work->leaf(Fate::deferred("4.3.0", chosen.error().text()));
    if (const std::string transport = chosen->value_or(options_.mailbox_transport); !transport.empty())
        co_return co_await hand_on(work, transport, place);
    if (!account)
        co_return co_await to_nobody(work, std::move(place));
    co_await to_user(work, std::move(place), *std::move(account));
}

awaitable<void> LocalAgent::to_nobody(Work* work, Place place)
{
    const std::string name = to_lower(std::string_view(place.local).substr(0, tables::extension_at(place.local, options_.delimiter)));
    const auto chosen = co_await ask(&asked_.fallback_transports, name);
    if (!chosen)
        co_return co_await work->leaf(Fate::deferred("4.3.0", chosen.error().text()));
    if (const std::string transport = chosen->value_or(options_.fallback_transport); !transport.empty())
        co_return co_await hand_on(work, transport, place);
    if (!options_.luser_relay.empty() && !place.chain.contains("luser_relay")) {
        const auto expanded = expand_names(options_.luser_relay, names_of(*work, place), options_.forward_filter + "\"\\ ");
        const std::string relay = expanded ? expanded->value_or("") : "";
        auto targets = expanded ? parse_targets(relay) : Result<std::vector<Target>>(expanded.error());
        if (!targets || targets->empty()) {
            teller_.log().warning("luser_relay: {}", targets ? "no address" : targets.error().text());
            co_return co_await work->leaf(Fate::misconfigured());
        }
        place.chain.insert("luser_relay");
        place.from = Place::From::alias;
        co_return co_await follow(work, std::move(place), *std::move(targets));
    }
    co_await work->leaf(Fate::bounced("5.1.1", fmt::format("unknown user: \"{}\"", name)));
}

awaitable<void> LocalAgent::to_user(Work* work, Place place, Account account)
{
    place.account = account;
    place.give_rights(account.ids);
    if (options_.require_home) {
        const auto step = teller_.steps.begin(work->request->attempt(), fmt::format("a look at the home directory {}", account.home));
        const auto there =
            co_await spawner_.as(account.ids, [home = account.home] { return std::string(::access(home.c_str(), F_OK) == 0 ? "y" : "n"); }, -1);
        if (!there || *there != "y")
            co_return co_await work->leaf(
                Fate::deferred("4.3.0", fmt::format("cannot access home directory {} of user {}", account.home, account.name)));
    }
    const auto chosen = co_await ask(&asked_.mailbox_commands, account.name);
    if (!chosen)
        co_return co_await work->leaf(Fate::deferred("4.3.0", chosen.error().text()));
    if (const std::string command = chosen->value_or(options_.mailbox_command); !command.empty())
        co_return co_await to_command(work, std::move(place), command);
    MailboxJob job;
    Privileges rights = account.ids;
    if (!options_.home_mailbox.empty()) {
        job.path = account.home + "/" + options_.home_mailbox;
    } else {
        const bool maildirs = options_.spool_directory.ends_with('/');
        job.path = options_.spool_directory + (maildirs ? "" : "/") + account.name + (maildirs ? "/" : "");
        // /var/mail belongs to a group, and who is in it may make files and locks there.
        struct stat about{};
        if (::stat(options_.spool_directory.c_str(), &about) == 0 && (about.st_mode & S_IWGRP) != 0 && (about.st_mode & S_IWOTH) == 0)
            rights.gid = about.st_gid;
    }
    job.owner = account.name;
    const bool maildir = job.path.ends_with('/');
    job.how.from_line = job.how.quote_from = job.how.blank_end = !maildir;
    job.how.delivered_to = true;
    job.biff_port = options_.biff_port;
    co_await to_file(work, std::move(place), std::move(job), rights);
}

awaitable<void> LocalAgent::to_file(Work* work, Place place, MailboxJob job, Privileges rights)
{
    const bool named = !job.success_file.empty(), maildir = job.path.ends_with('/');
    if (only_asked(*work->request))
        co_return co_await work->leaf(Fate::delivered(named     ? "delivers to file: " + job.path
                                                      : maildir ? "delivers to maildir"
                                                                : "delivers to mailbox"));
    if (named && rights.uid == 0) {                                // a mailbox is its user's, root's too
        teller_.log().warning("{}: mail for {} would be written by root", work->request->envelope().queue_id(), job.path);
        co_return co_await work->leaf(Fate::misconfigured());
    }
    job.how.return_path = true;
    job.how.original_to = options_.original_to;
    job.names = written_names(*work, place);
    job.size_limit = options_.size_limit;
    job.lock = options_.lock;
    job.strict_ownership = options_.strict_ownership;
    job.host = options_.host;
    const auto step = teller_.steps.begin(work->request->attempt(), waits_for(job));
    const auto packed = co_await spawner_.as(
        rights, [job = std::move(job), message = *work->message] { return pack(deliver_to_mailbox(job, message)); }, work->message->descriptor());
    co_await work->leaf(packed ? unpack_fate(*packed) : Fate::deferred("4.3.0", packed.error().text()));
}

awaitable<void> LocalAgent::to_command(Work* work, Place place, std::string command)
{
    const Privileges rights = place.rights.value_or(options_.default_rights);
    if (!work->first_time(fmt::format("command {} {}", rights.uid, command)))
        co_return;
    if (only_asked(*work->request))
        co_return co_await work->leaf(Fate::delivered("delivers to command: " + command));
    if (rights.uid == 0) {
        teller_.log().warning("{}: the command \"{}\" would be started as root", work->request->envelope().queue_id(), printable(command));
        co_return co_await work->leaf(Fate::misconfigured());
    }
    const LocalNames names = names_of(*work, place);
    CommandRun run;
    run.words = command_words(command, options_.shell);
    if (run.words.empty())
        co_return co_await work->leaf(Fate::misconfigured());
    run.environment = options_.environment;
    std::ranges::move(command_environment(names, options_.command_filter), std::back_inserter(run.environment));
    if (!options_.command_directory.empty()) {
        const auto expanded = expand_names(options_.command_directory, names, options_.directory_filter);
        run.directory = expanded ? expanded->value_or("") : "";
        if (run.directory.empty()) {
            teller_.log().warning("command_execution_directory: {}", expanded ? "a name in it is empty" : expanded.error().text());
            co_return co_await work->leaf(Fate::misconfigured());
        }
    }
    run.as = rights;
    WrittenOptions how;
    how.from_line = how.return_path = true;
    how.original_to = options_.original_to;
    how.delivered_to = options_.deliver_header_command;
    run.input = pieces_of(*work->message, std::move(how), written_names(*work, place));
    run.time_limit = options_.time_limit;
    const auto step =
        teller_.steps.begin(work->request->attempt(), fmt::format("the command {} of {}", printable(command), work->recipient->address()));
    const CommandEnd end = co_await spawner_.run(std::move(run));
    if (end.not_executed)
        teller_.log().error("{}: {}", work->request->envelope().queue_id(), end.not_executed->text());
    co_await work->leaf(fate_of(end, command, "delivered to command: " + command, "delivered", Tell::nothing));
}

/// To another transport: as a message of its own, whose way is given.
awaitable<void> LocalAgent::hand_on(Work* work, std::string transport, Place place)
{
    if (only_asked(*work->request))
        co_return co_await work->leaf(Fate::delivered("delivers to transport: " + transport));
    // Who an alias led to, and the owner's name where the alias has one: the store knows users, not aliases.
    handoff::Envelope envelope = work->request->envelope();
    envelope.set_sender(place.sender);
    envelope.clear_recipients();
    handoff::Recipient& recipient = *envelope.add_recipients();
    recipient = *work->recipient;
    recipient.set_index(0);
    if (!work->shown.empty() && work->shown != recipient.address()) {
        recipient.set_original(work->owned ? std::string() : recipient.original().empty() ? recipient.address() : recipient.original());
        recipient.set_address(work->shown);
    }
    auto queue_id = co_await outside_.forward(std::move(envelope), "", *work->message, transport);
    co_await work->leaf(queue_id ? Fate::delivered(fmt::format("passed to transport={} as {}", transport, *queue_id), "")
                                 : Fate::deferred(queue_id.error().status().empty() ? "4.3.0" : queue_id.error().status(), queue_id.error().text()));
}

awaitable<void> LocalAgent::forward_all(Work* work)
{
    for (const auto& [from, addresses] : work->forwards) {
        const auto& [sender, delivered] = from;
        if (only_asked(*work->request)) {
            co_await work->leaf(Fate::delivered("forwards to " + addresses.front() + (addresses.size() > 1 ? " ..." : "")));
            continue;
        }
        handoff::Envelope envelope = work->request->envelope();
        const bool owned = envelope.sender() != sender;
        envelope.set_sender(sender);
        envelope.clear_recipients();
        if (owned) {
            envelope.clear_envid();
            envelope.clear_ret();
        }
        for (const std::string& address : addresses) {
            handoff::Recipient& recipient = *envelope.add_recipients();
            recipient.set_index(static_cast<std::uint32_t>(envelope.recipients_size() - 1));
            recipient.set_address(address);
            // What an owner answers for begins here: whom it was for before is said to nobody.
            if (!owned) {
                recipient.set_original(work->recipient->original().empty() ? work->recipient->address() : work->recipient->original());
                recipient.set_notify(work->recipient->notify() & ~static_cast<std::uint32_t>(handoff::NOTIFY_SUCCESS));
                recipient.set_orcpt(work->recipient->orcpt());
            }
        }
        const std::string header =
            options_.deliver_header_forward ? fmt::format("Delivered-To: {}\r\n", smtp::external_address(delivered)) : std::string();
        auto queue_id = co_await outside_.forward(std::move(envelope), header, *work->message, "");
        co_await work->leaf(queue_id
                                ? Fate::delivered("forwarded as " + *queue_id, addresses.size() > 1 || owned ? "expanded" : "relayed")
                                : Fate::deferred(queue_id.error().status().empty() ? "4.3.0" : queue_id.error().status(), queue_id.error().text()));
    }
}

}  // namespace posthorn::deliver
