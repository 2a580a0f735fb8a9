#include "deliver/virtual_agent.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::deliver {

namespace {

/// An id out of a table; none: not a number that can be one.
std::optional<std::uint32_t> id_of(std::string_view value)
{
    const auto number = parse_number(trim(value));
    if (!number || *number >= 0xFFFFFFFFU)
        return std::nullopt;
    return static_cast<std::uint32_t>(*number);
}

}  // namespace

Result<VirtualAgent::Decision> VirtualAgent::place_of(tables::Lookups& lookups, const std::string& address) const
{
    Decision decision;
    const auto refuse = [&](std::string warning) {
        decision.fate = Fate::misconfigured();
        decision.warning = std::move(warning);
        return decision;
    };
    const auto find = [&](const tables::Maps& maps) { return maps.find_address(lookups, address, options_.delimiter, nullptr); };
    if (options_.base.empty())
        return refuse("virtual_mailbox_base is empty: virtual mailboxes have no place");
    TRY(const auto mailbox, find(asked_.mailboxes));
    if (!mailbox) {
        decision.fate = Fate::bounced("5.1.1", fmt::format("unknown user: \"{}\"", address));
        return decision;
    }
    TRY(const auto uid, find(asked_.uids));
    TRY(const auto gid, find(asked_.gids));
    const auto number = [&](std::string_view name, const std::optional<tables::Found>& found) -> Result<std::uint32_t> {
        const auto id = found ? id_of(found->value) : std::nullopt;
        if (!found)
            return Error{fmt::format("recipient {}: not found in {}", address, name)};
        if (!id)
            return Error{fmt::format("recipient {}: bad id \"{}\" in {}", address, printable(found->value), name)};
        return *id;
    };
    const auto user = number("virtual_uid_maps", uid), group = number("virtual_gid_maps", gid);
    if (!user || !group)
        return refuse(user ? group.error().what() : user.error().what());
    decision.place.owner = {*user, *group};
    if (decision.place.owner.uid < options_.minimum_uid || decision.place.owner.uid == 0)
        return refuse(fmt::format("recipient {}: uid {} in virtual_uid_maps is less than virtual_minimum_uid ({})", address, decision.place.owner.uid,
                                  options_.minimum_uid));
    if (decision.place.owner.gid == 0)
        return refuse(fmt::format("recipient {}: gid 0 in virtual_gid_maps", address));
    // "../" out of a table that takes the address into its result would lead out of the base.
    for (const std::string_view part : split_exact(mailbox->value, '/'))
        if (part == "..")
            return refuse(fmt::format("recipient {}: \"..\" in \"{}\" of virtual_mailbox_maps", address, printable(mailbox->value)));
    if (mailbox->value.find('\0') != mailbox->value.npos)
        return refuse(fmt::format("recipient {}: a path with a NUL in virtual_mailbox_maps", address));
    decision.place.path = options_.base + "/" + mailbox->value;
    return decision;
}

awaitable<Fate> VirtualAgent::attempt(const handoff::DeliveryRequest* request, const handoff::Recipient* recipient, const Message* message)
{
    const std::string& queue_id = request->envelope().queue_id();
    const std::string& address = recipient->address();
    const auto decision = co_await tables::settle([&](tables::Lookups& lookups) { return place_of(lookups, address); });
    if (!decision) {
        teller_.log().warning("{}: {}", queue_id, decision.error().text());
        co_return Fate::deferred("4.3.0", "mailbox lookup problem: " + decision.error().text());
    }
    if (!decision->warning.empty())
        teller_.log().warning("{}: {}", queue_id, decision->warning);
    if (const std::optional<Fate>& fate = decision->fate)
        co_return *fate;
    const bool maildir = decision->place.path.ends_with('/');
    if (only_asked(*request))
        co_return Fate::delivered(maildir ? "delivers to maildir" : "delivers to mailbox");
    const auto head = message->head();
    if (!head)
        co_return Fate::deferred("4.3.0", "cannot read the message: " + head.error().text());
    if (was_delivered_to(*head, address))
        co_return Fate::bounced("5.4.6", "mail forwarding loop for " + address);
    MailboxJob job;
    job.path = decision->place.path;
    job.owner = address;
    job.how.from_line = job.how.quote_from = job.how.blank_end = !maildir;
    job.how.return_path = job.how.delivered_to = true;
    job.how.original_to = options_.original_to;
    job.names = {request->envelope().sender(), recipient->original().empty() ? address : recipient->original(), address, teller_.wall()};
    job.size_limit = options_.size_limit;
    job.lock = options_.lock;
    job.strict_ownership = options_.strict_ownership;
    job.host = options_.host;
    const auto step = teller_.steps.begin(request->attempt(), waits_for(job));
    const auto packed = co_await spawner_.as(
        decision->place.owner, [job = std::move(job), message = *message] { return pack(deliver_to_mailbox(job, message)); }, message->descriptor());
    if (!packed)
        co_return Fate::deferred("4.3.0", packed.error().text());
    co_return unpack_fate(*packed);
}

awaitable<handoff::Verdicts> VirtualAgent::deliver(handoff::DeliveryRequest request, Fd content)
{
    handoff::Verdicts all;
    auto message = content ? Message::of(std::move(content)) : Message(request.content().inline_octets());
    for (const handoff::Recipient& recipient : request.envelope().recipients()) {
        const std::int64_t began = teller_.now();
        Fate fate = message ? co_await attempt(&request, &recipient, &*message)
                            : Fate::deferred("4.3.0", "cannot read the message: " + message.error().text());
        *all.add_verdicts() = co_await teller_.tell(&request, &recipient, std::move(fate), began);
    }
    co_return all;
}

}  // namespace posthorn::deliver
