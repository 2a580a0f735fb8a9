#include "deliver/local_agent.hpp"

#include "base/strings.hpp"
#include "deliver/local_work.hpp"
#include "deliver/user_file.hpp"

#include <fmt/format.h>

#include <algorithm>

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

std::string LocalAgent::whole_address(std::string_view address) const
{
    return address.find('@') == address.npos ? fmt::format("{}@{}", address, options_.myorigin) : std::string(address);
}

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
    // Where each address on the way leaves its name, the one that mail went out from before may be any of them.
    if (!options_.frozen_delivered && place.from != Place::From::recipient && was_delivered_to(work->head, place.address()))
        co_return co_await work->leaf(Fate::bounced("5.4.6", "mail forwarding loop for " + place.address()));
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
    if (!options_.owner_special)
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
        if (!options_.frozen_delivered)
            next.delivered = place->address();
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
        const auto step = teller_.steps.begin(work->request->attempt(), "the file " + printable(path));
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
        if (!options_.frozen_delivered)
            here.delivered = place->address();
        here.chain.insert(link);
        here.give_rights(account->ids);
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
            } else if (work->first_time("forward " + some[at])) {
                work->forwards[{place.sender, place.delivered}].push_back(some[at]);
            }
        }
    }
}

awaitable<void> LocalAgent::follow_include(Work* work, Place place, std::string path)
{
    const Privileges rights = place.rights.value_or(options_.default_rights);
    if (++place.depth > deepest || !work->first_time(fmt::format("include {} {}", rights.uid, path)))
        co_return;
    const auto step = teller_.steps.begin(work->request->attempt(), "the file " + printable(path));
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
            work.head = *head;
            Place place;
            place.sender = request.envelope().sender();
            place.domain = domain;
            place.delivered = recipient.address();
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

}  // namespace posthorn::deliver
