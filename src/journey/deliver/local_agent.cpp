#include "deliver/local_agent.hpp"

#include "base/strings.hpp"
#include "deliver/pipe_agent.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::deliver {

namespace {

/// So deep may aliases of aliases be; so many places may one recipient lead to.
constexpr unsigned deepest = 100;
constexpr std::size_t most_places = 50'000;

/// The extension goes along.
void extend(std::vector<Target>& targets, std::string_view extension)
{
    for (Target& target : targets)
        if (target.kind == Target::Kind::address && !extension.empty())
            target.value.insert(std::min(target.value.rfind('@'), target.value.size()), extension);
}

}  // namespace

/// Of one recipient of a request.
struct LocalAgent::Work {
    const handoff::DeliveryRequest* request = nullptr;
    const handoff::Recipient* recipient = nullptr;
    const Message* message = nullptr;
    std::int64_t began = 0;
    std::set<std::string> seen;                            // places that were delivered to already
    std::map<std::string, std::vector<std::string>> forwards;   // new recipients, by sender
    std::size_t places = 0;
    std::vector<handoff::Verdict> leaves;
    const Teller* teller = nullptr;

    bool first_time(std::string place) { return seen.insert(std::move(place)).second; }
    std::string shown;                                     // the address that led here, for log lines
    bool owned = false;                                    // by way of an alias with an owner: what was first written is not said
    awaitable<void> leaf(Fate fate)
    {
        handoff::Recipient said = *recipient;
        if (!shown.empty() && shown != said.address()) {
            said.set_original(owned ? std::string() : said.original().empty() ? said.address() : said.original());
            said.set_address(shown);
        }
        leaves.push_back(co_await teller->tell(request, &said, std::move(fate), began));
    }
};

/// How an address was come to.
struct LocalAgent::Place {
    enum class From { recipient, alias, forward, include } from = From::recipient;
    std::string sender;                                    // of what is forwarded: an alias' owner
    std::string local, domain, extension;
    std::optional<Account> account;                        // whose .forward it is
    std::optional<Privileges> rights;                      // of commands and files; none: default_privs
    std::string unmatched;                                 // the extension, with its delimiter, that an alias did not have
    std::set<std::string> chain;                           // aliases and .forwards on the way here
    unsigned depth = 0;

    bool allowed(const Sources& sources) const
    {
        return from == From::alias ? sources.alias : from == From::forward ? sources.forward : from == From::include ? sources.include : false;
    }
};

std::string LocalAgent::whole_address(std::string_view address) const
{
    return address.find('@') == address.npos ? fmt::format("{}@{}", address, options_.myorigin) : std::string(address);
}

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
    return {place.sender, recipient.original().empty() ? recipient.address() : recipient.original(), recipient.address(), teller_.wall()};
}

// ---- From a name to places

awaitable<void> LocalAgent::to_local(Work* work, Place place, std::string local)
{
    if (++place.depth > deepest || ++work->places > most_places) {
        teller_.log().warning("{}: alias database loop for {}", work->request->envelope().queue_id(), printable(local, true));
        co_return co_await work->leaf(Fate::bounced("5.4.6", "alias database loop for " + local));
    }
    // Only what is said here may say it: from outside it would be a way around aliases and .forward.
    const bool plain = place.from != Place::From::recipient && local.starts_with('\\');
    place.local = plain ? local.substr(1) : std::move(local);
    // For as long as we are here; what is forwarded at the end is said of the recipient.
    struct Shown {
        explicit Shown(Work* of) : work(of), address(of->shown), owned(of->owned) {}
        Shown(Shown&&) = delete;
        ~Shown()
        {
            work->shown = address;
            work->owned = owned;
        }
        Work* work;
        std::string address;
        bool owned;
    };
    const Shown before(work);
    work->shown = fmt::format("{}@{}", place.local, place.domain);
    work->owned = place.sender != work->request->envelope().sender();
    const std::size_t at = tables::extension_at(place.local, options_.delimiter);
    const std::string name = to_lower(std::string_view(place.local).substr(0, at));
    place.extension = at == std::string::npos ? "" : place.local.substr(at + 1);
    if (!plain) {
        if (co_await by_alias(work, &place, to_lower(place.local), ""))
            co_return;
        if (at != std::string::npos && co_await by_alias(work, &place, name, place.local.substr(at)))
            co_return;
    }
    auto account = co_await accounts_.by_name(name);
    if (!account)
        co_return co_await work->leaf(Fate::deferred("4.3.0", "user lookup problem: " + account.error().text()));
    const std::optional<Account>& user = *account;
    if (!plain && user && co_await by_forward(work, &place, &*user))
        co_return;
    if (work->first_time("mailbox " + name))
        co_await to_mailbox(work, std::move(place), *std::move(account));
}

awaitable<Result<std::optional<std::string>>> LocalAgent::owner_of(std::string name)
{
    // What goes wrong with mail for the owner is not the owner's affair again.
    if (options_.owner_special && (name.starts_with("owner-") || name.ends_with("-request")))
        co_return std::optional<std::string>{};
    for (const AliasTable& table : asked_.aliases) {
        CO_TRY(const std::optional<std::string> value, co_await table.maps.lookup("owner-" + name));
        if (!value)
            continue;
        std::string owner = "owner-" + name;
        if (options_.expand_owner)
            if (const auto targets = parse_targets(*value); targets && targets->size() == 1 && targets->front().kind == Target::Kind::address)
                owner = targets->front().value;
        co_return std::optional<std::string>(whole_address(owner));
    }
    co_return std::optional<std::string>{};
}

/// False: it is none, or we are inside of it.
awaitable<bool> LocalAgent::by_alias(Work* work, const Place* place, std::string name, std::string extension)
{
    const std::string link = "alias " + name;
    if (name.empty() || place->chain.contains(link))
        co_return false;
    for (const AliasTable& table : asked_.aliases) {
        const auto found = co_await table.maps.lookup(name);
        if (!found) {
            co_await work->leaf(Fate::deferred("4.3.0", "alias database unavailable"));
            co_return true;
        }
        const std::optional<std::string>& value = *found;
        if (!value)
            continue;
        // Another way to the same alias leads nowhere else.
        if (!work->first_time(link + extension))
            co_return true;
        auto targets = parse_targets(*value);
        if (!targets || targets->empty()) {
            teller_.log().warning("{}: alias {}: {}", work->request->envelope().queue_id(), printable(name, true),
                                  targets ? "no address" : targets.error().text());
            co_await work->leaf(Fate::misconfigured());
            co_return true;
        }
        Place next = *place;
        next.from = Place::From::alias;
        next.chain.insert(link);
        next.rights = table.owner;
        next.account.reset();
        auto owner = co_await owner_of(name);
        if (!owner) {                                              // without its owner the wrong one would hear of failures
            co_await work->leaf(Fate::deferred("4.3.0", "alias database unavailable"));
            co_return true;
        }
        if (std::optional<std::string>& known = *owner)
            next.sender = *std::move(known);
        else if (options_.reset_owner)
            next.sender = work->request->envelope().sender();
        next.unmatched = extension;
        if (options_.propagate_alias)
            extend(*targets, extension);
        co_await follow(work, std::move(next), *std::move(targets));
        co_return true;
    }
    co_return false;
}

awaitable<bool> LocalAgent::by_forward(Work* work, const Place* place, const Account* account)
{
    const std::string link = "forward " + account->name;
    if (options_.forward_path.empty() || place->chain.contains(link))
        co_return false;
    Place here = *place;
    here.account = *account;
    const LocalNames names = names_of(*work, here);
    for (const std::string_view word : split(options_.forward_path, ", \t\r\n")) {
        const auto expanded = expand_names(word, names, options_.forward_filter);
        const std::string path = expanded ? expanded->value_or("") : "";
        if (!path.starts_with('/'))
            continue;
        const auto answer = co_await spawner_.as(account->ids, [path] { return pack_file(path); }, -1);
        const auto read = answer ? unpack_file(*answer) : Result<std::optional<ReadFile>>(answer.error());
        if (!read) {
            co_await work->leaf(Fate::deferred("4.3.0", fmt::format("cannot read {}: {}", path, read.error().text())));
            co_return true;
        }
        const std::optional<ReadFile>& file = *read;
        if (!file)
            continue;
        if (file->owner != account->ids.uid && file->owner != 0) {
            teller_.log().warning("file {} has bad owner: neither {} nor root", path, account->name);
            co_return false;
        }
        if (file->writable_by_others) {
            teller_.log().warning("file {} is world writable", path);
            co_return false;
        }
        auto targets = parse_targets(file->text);
        if (!targets) {
            teller_.log().warning("file {}: {}", path, targets.error().text());
            co_await work->leaf(Fate::misconfigured());
            co_return true;
        }
        if (targets->empty())
            co_return false;
        if (!work->first_time("file of forwards " + path))
            co_return true;
        here.from = Place::From::forward;
        here.chain.insert(link);
        here.rights = account->ids;
        const std::size_t at = tables::extension_at(place->local, options_.delimiter);
        // The path without the extension was used: it is not lost.
        if (options_.propagate_forward && at != std::string::npos && !path.ends_with(place->local.substr(at)))
            extend(*targets, place->local.substr(at));
        co_await follow(work, std::move(here), *std::move(targets));
        co_return true;
    }
    co_return false;
}

awaitable<void> LocalAgent::follow(Work* work, Place place, std::vector<Target> targets)
{
    std::vector<std::string> addresses, plain;
    for (const Target& target : targets) {
        if (++work->places > most_places)
            co_return co_await work->leaf(Fate::bounced("5.4.6", "too many destinations"));
        switch (target.kind) {
        case Target::Kind::command:
            if (!place.allowed(options_.commands))
                co_await work->leaf(Fate::bounced("5.7.1", "mail to command is restricted"));
            else
                co_await to_command(work, place, target.value);
            break;
        case Target::Kind::file:
            if (!place.allowed(options_.files)) {
                co_await work->leaf(Fate::bounced("5.7.1", "mail to file is restricted"));
            } else if (const Privileges rights = place.rights.value_or(options_.default_rights);
                       work->first_time(fmt::format("file {} {}", rights.uid, target.value))) {
                MailboxJob job;
                job.path = job.success_file = target.value;
                job.how.from_line = job.how.quote_from = job.how.blank_end = !job.path.ends_with('/');
                job.how.delivered_to = options_.deliver_header_file;
                job.owner = place.account ? place.account->name : std::to_string(rights.uid);
                co_await to_file(work, place, std::move(job), rights);
            }
            break;
        case Target::Kind::include: co_await follow_include(work, place, target.value); break;
        case Target::Kind::address:
            (target.value.starts_with('\\') ? plain : addresses)
                .push_back(target.value.starts_with('\\') ? target.value : whole_address(target.value));
            break;
        }
    }
    for (const std::string& address : plain)
        co_await to_local(work, place, address.substr(0, address.find('@')));
    constexpr std::size_t at_once = 1000;
    for (std::size_t from = 0; from < addresses.size(); from += at_once) {
        const std::vector<std::string> some(addresses.begin() + static_cast<std::ptrdiff_t>(from),
                                            addresses.begin() + static_cast<std::ptrdiff_t>(std::min(addresses.size(), from + at_once)));
        const auto routes = co_await outside_.route(place.sender, some);
        if (!routes || routes->size() != some.size())
            co_return co_await work->leaf(
                Fate::deferred("4.3.0", "address resolver failure: " + (routes ? std::string("another number of routes") : routes.error().text())));
        for (std::size_t at = 0; at < some.size(); ++at) {
            const handoff::Route& route = (*routes)[at];
            if (route.transport() == options_.service) {
                Place next = place;
                next.domain = tables::split_address(route.address()).domain;
                co_await to_local(work, std::move(next), std::string(tables::split_address(route.address()).local));
            } else if (work->first_time("forward " + place.sender + " " + some[at])) {
                work->forwards[place.sender].push_back(some[at]);
            }
        }
    }
}

awaitable<void> LocalAgent::follow_include(Work* work, Place place, std::string path)
{
    const Privileges rights = place.rights.value_or(options_.default_rights);
    if (++place.depth > deepest || !work->first_time(fmt::format("include {} {}", rights.uid, path)))
        co_return;
    const auto answer = co_await spawner_.as(rights, [path] { return pack_file(path); }, -1);
    const auto read = answer ? unpack_file(*answer) : Result<std::optional<ReadFile>>(answer.error());
    const ReadFile file = read ? read->value_or(ReadFile{}) : ReadFile{};
    auto targets = !read ? Result<std::vector<Target>>(read.error()) : read->has_value() ? parse_targets(file.text) : Error{"no such file"};
    if (targets && targets->empty())
        targets = Error{"no address"};
    if (file.writable_by_others)
        targets = Error{"is world writable"};
    if (!targets) {
        teller_.log().warning("{}: :include:{}: {}", work->request->envelope().queue_id(), printable(path), targets.error().text());
        co_return co_await work->leaf(Fate::misconfigured());
    }
    place.from = Place::From::include;
    if (options_.propagate_include)
        extend(*targets, place.unmatched);
    // Who has rights keeps them: the words of a file of others must not act as those.
    if (file.owner != 0 && !place.rights) {
        const auto owner = co_await accounts_.by_uid(file.owner);
        if (!owner)
            co_return co_await work->leaf(Fate::deferred("4.3.0", "user lookup problem: " + owner.error().text()));
        const std::optional<Account>& account = *owner;
        if (!account)
            co_return co_await work->leaf(Fate::misconfigured());
        place.rights = account->ids;
    }
    co_await follow(work, std::move(place), *std::move(targets));
}

// ---- Places

awaitable<void> LocalAgent::to_mailbox(Work* work, Place place, std::optional<Account> account)
{
    const std::string name =
        account ? account->name : to_lower(std::string_view(place.local).substr(0, tables::extension_at(place.local, options_.delimiter)));
    const auto chosen = co_await ask(&asked_.mailbox_transports, name);
    if (!chosen)
        co_return co_await work->leaf(Fate::deferred("4.3.0", chosen.error().text()));
    if (const std::string transport = chosen->value_or(options_.mailbox_transport); !transport.empty())
        co_return co_await hand_on(work, transport, work->recipient->address());
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
        co_return co_await hand_on(work, transport, work->recipient->address());
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
    place.rights = account.ids;
    if (options_.require_home) {
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
    co_await to_file(work, std::move(place), std::move(job), rights);
}

awaitable<void> LocalAgent::to_file(Work* work, Place place, MailboxJob job, Privileges rights)
{
    const bool named = !job.success_file.empty(), maildir = job.path.ends_with('/');
    if (only_asked(*work->request))
        co_return co_await work->leaf(Fate::delivered(named     ? "delivers to file: " + job.path
                                                      : maildir ? "delivers to maildir"
                                                                : "delivers to mailbox"));
    if (rights.uid == 0) {
        teller_.log().warning("{}: mail for {} would be written by root", work->request->envelope().queue_id(), job.path);
        co_return co_await work->leaf(Fate::misconfigured());
    }
    job.how.return_path = job.how.original_to = true;
    job.names = written_names(*work, place);
    job.size_limit = options_.size_limit;
    job.lock = options_.lock;
    job.strict_ownership = options_.strict_ownership;
    job.host = options_.host;
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
    how.from_line = how.return_path = how.original_to = true;
    how.delivered_to = options_.deliver_header_command;
    run.input = pieces_of(*work->message, std::move(how), written_names(*work, place));
    run.time_limit = options_.time_limit;
    const CommandEnd end = co_await spawner_.run(std::move(run));
    if (end.not_executed)
        teller_.log().error("{}: {}", work->request->envelope().queue_id(), end.not_executed->text());
    co_await work->leaf(fate_of(end, command, "delivered to command: " + command, "delivered", Tell::nothing));
}

/// To another transport: as a message of its own, whose way is given.
awaitable<void> LocalAgent::hand_on(Work* work, std::string transport, std::string address)
{
    if (only_asked(*work->request))
        co_return co_await work->leaf(Fate::delivered("delivers to transport: " + transport));
    handoff::Envelope envelope = work->request->envelope();
    envelope.clear_recipients();
    handoff::Recipient& recipient = *envelope.add_recipients();
    recipient = *work->recipient;
    recipient.set_index(0);
    recipient.set_address(std::move(address));
    auto queue_id = co_await outside_.forward(std::move(envelope), "", *work->message, transport);
    co_await work->leaf(queue_id ? Fate::delivered(fmt::format("passed to transport={} as {}", transport, *queue_id), "")
                                 : Fate::deferred(queue_id.error().status().empty() ? "4.3.0" : queue_id.error().status(), queue_id.error().text()));
}

awaitable<void> LocalAgent::forward_all(Work* work)
{
    for (const auto& [sender, addresses] : work->forwards) {
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
            recipient.set_original(work->recipient->original().empty() ? work->recipient->address() : work->recipient->original());
            if (!owned) {
                recipient.set_notify(work->recipient->notify() & ~static_cast<std::uint32_t>(handoff::NOTIFY_SUCCESS));
                recipient.set_orcpt(work->recipient->orcpt());
            }
        }
        const std::string header =
            options_.deliver_header_forward ? fmt::format("Delivered-To: {}\r\n", smtp::external_address(work->recipient->address())) : std::string();
        auto queue_id = co_await outside_.forward(std::move(envelope), header, *work->message, "");
        co_await work->leaf(queue_id
                                ? Fate::delivered("forwarded as " + *queue_id, addresses.size() > 1 || owned ? "expanded" : "relayed")
                                : Fate::deferred(queue_id.error().status().empty() ? "4.3.0" : queue_id.error().status(), queue_id.error().text()));
    }
}

awaitable<handoff::Verdicts> LocalAgent::deliver(handoff::DeliveryRequest request, Fd content)
{
    handoff::Verdicts all;
    auto message = content ? Message::of(std::move(content)) : Message(request.content().inline_octets());
    const auto head = message ? message->head() : Result<std::string>(message.error());
    for (const handoff::Recipient& recipient : request.envelope().recipients()) {
        Work work;
        work.request = &request;
        work.recipient = &recipient;
        work.began = teller_.now();
        work.teller = &teller_;
        const auto [local, domain, has_domain] = tables::split_address(recipient.address());
        if (!head) {
            co_await work.leaf(Fate::deferred("4.3.0", "cannot read the message: " + head.error().text()));
        } else if (was_delivered_to(*head, recipient.address())) {
            co_await work.leaf(Fate::bounced("5.4.6", "mail forwarding loop for " + recipient.address()));
        } else {
            work.message = &*message;
            Place place;
            place.sender = request.envelope().sender();
            place.domain = domain;
            co_await to_local(&work, std::move(place), std::string(local));
            co_await forward_all(&work);
        }
        if (work.leaves.empty())                                  // every way led to where it came from
            co_await work.leaf(Fate::bounced("5.4.6", "mail forwarding loop for " + recipient.address()));
        const auto rank = [](const handoff::Verdict& verdict) {
            return verdict.outcome() == handoff::OUTCOME_DEFERRED ? 0 : verdict.outcome() == handoff::OUTCOME_DELIVERED ? 2 : 1;
        };
        *all.add_verdicts() = *std::ranges::min_element(work.leaves, {}, rank);
    }
    co_return all;
}

// ---- Files that a child reads

std::string pack_file(const std::string& path)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    const auto failed = [&](int error) { return error == ENOENT || error == ENOTDIR ? std::string("N") : "E" + errno_text(error); };
    struct stat about{};
    if (!file || ::fstat(file.get(), &about) != 0)
        return failed(errno);
    if (!S_ISREG(about.st_mode))
        return "Enot a regular file";
    std::string text, room(64 * 1024, '\0');
    while (text.size() <= targets_limit) {
        const ssize_t got = ::read(file.get(), room.data(), room.size());
        if (got < 0 && errno != EINTR)
            return failed(errno);
        if (got == 0)
            break;
        if (got > 0)
            text.append(room, 0, static_cast<std::size_t>(got));
    }
    return fmt::format("F{} {} {}", about.st_uid, (about.st_mode & S_IWOTH) != 0 ? 1 : 0, text);
}

Result<std::optional<ReadFile>> unpack_file(std::string_view packed)
{
    if (packed == "N")
        return std::optional<ReadFile>{};
    if (packed.starts_with('E'))
        return Error{std::string(packed.substr(1))};
    const std::size_t first = packed.find(' '), second = first == packed.npos ? first : packed.find(' ', first + 1);
    const auto owner = second == packed.npos || !packed.starts_with('F') ? std::nullopt : parse_number(packed.substr(1, first - 1));
    if (!owner)
        return Error{"no answer"};
    ReadFile file;
    file.owner = static_cast<uid_t>(*owner);
    file.writable_by_others = packed.substr(first + 1, second - first - 1) == "1";
    file.text = packed.substr(second + 1);
    return std::optional<ReadFile>(std::move(file));
}

}  // namespace posthorn::deliver
