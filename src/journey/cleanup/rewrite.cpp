#include "cleanup/rewrite.hpp"

#include "base/strings.hpp"
#include "message/address_list.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::cleanup {

namespace {

constexpr int most_rounds = 10;                   // an address is mapped until it stays

}  // namespace

std::vector<std::string> mapped_addresses(const tables::Found& found, std::string_view address, bool propagate, const Options& options)
{
    std::vector<std::string> made;
    // A database's value may have line ends: in a header they would begin a field of the database's choosing.
    const auto add = [&made](std::string text) {
        if (std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; }))
            made.push_back(std::move(text));
    };
    if (found.value.starts_with('@') && found.value.find(',') == std::string::npos) {
        add(std::string(tables::split_address(address).local) + std::string(trim(found.value)));
        return made;
    }
    for (const auto& member : message::parse_address_list(found.value, options.token_limit).addresses) {
        if (member.malformed || member.mailbox.null())
            continue;
        smtp::Mailbox mailbox = member.mailbox;
        if (propagate)
            mailbox.local += found.extension;
        add(complete_mailbox(mailbox, options.local).value_or(mailbox).text());
    }
    return made;
}

void Rewriter::fail(std::string warning)
{
    if (!refusal_)
        draft_.log.push_back("warning: " + std::move(warning) + " -- message not accepted, try again later");
    refusal_ = table_error;
}

void Rewriter::map(const tables::Maps& maps, std::string& address)
{
    for (int round = 0; round < most_rounds; ++round) {
        const auto found = maps.find_address(lookups_, address, options_.own.delimiter, &asked_.own);
        if (!found) {
            if (lookups_.waiting())
                not_yet_ = found.error();
            else
                fail(fmt::format("{} map lookup problem for {}", maps.parameter(), printable(address, true)));
            return;
        }
        const auto& value = *found;
        if (!value)
            return;
        const auto made = mapped_addresses(*value, address, options_.propagate_canonical, options_);
        if (made.size() > 1)
            draft_.log.push_back(fmt::format("warning: multi-valued {} entry for {}", maps.parameter(), printable(address, true)));
        if (made.empty() || iequals(made.front(), address)) {
            if (!made.empty())
                address = made.front();
            return;
        }
        address = made.front();
    }
    // Postfix's words; there, too, the message is taken with what the rounds have made.
    draft_.log.push_back(fmt::format("warning: unreasonable {} map nesting for {} -- message not accepted, try again later", maps.parameter(),
                                     printable(address, true)));
}

void Rewriter::masquerade(std::string& address)
{
    const std::size_t at = address.rfind('@');
    if (at == std::string::npos)
        return;
    const std::string domain = address.substr(at + 1);
    for (std::string_view word : options_.masquerade_domains) {
        bool strip = true;
        for (; word.starts_with('!'); word.remove_prefix(1))
            strip = !strip;
        if (iequals(domain, word))
            return;
        if (domain.size() <= word.size() + 1 || domain[domain.size() - word.size() - 1] != '.' ||
            !iequals(std::string_view(domain).substr(domain.size() - word.size()), word))
            continue;
        if (!strip)
            return;
        const auto excepted = asked_.masquerade_exceptions.matches(lookups_, address.substr(0, at));
        if (!excepted) {
            if (lookups_.waiting())
                not_yet_ = excepted.error();
            else
                fail(fmt::format("masquerade_exceptions lookup problem for {}", printable(address, true)));
            return;
        }
        if (!*excepted)
            address = address.substr(0, at + 1) + std::string(word);
        return;
    }
}

/// Nearly no site has any of these.
bool Rewriter::maps_addresses() const
{
    return !asked_.canonical.empty() || !asked_.sender_canonical.empty() || !asked_.recipient_canonical.empty() ||
           !options_.masquerade_domains.empty();
}

std::optional<smtp::Mailbox> Rewriter::rewrite(const smtp::Mailbox& mailbox, Role role, const Completion& completion)
{
    if (mailbox.null())
        return std::nullopt;
    auto completed = complete_mailbox(mailbox, completion);
    const smtp::Mailbox& whole = completed ? *completed : mailbox;
    if (!options_.address_mappings || whole.domain.empty() || !maps_addresses())
        return completed;
    std::string address = whole.text();
    const bool sender = role == Role::envelope_sender || role == Role::header_sender;
    const tables::Maps& own = sender ? asked_.sender_canonical : asked_.recipient_canonical;
    if (!own.empty() && (sender ? options_.sender_canonical_classes : options_.recipient_canonical_classes).has(role))
        map(own, address);
    if (!asked_.canonical.empty() && options_.canonical_classes.has(role))
        map(asked_.canonical, address);
    if (!options_.masquerade_domains.empty() && options_.masquerade_classes.has(role))
        masquerade(address);
    const smtp::Mailbox made = address == whole.text() ? whole : smtp::mailbox_of(address);
    return made == mailbox ? std::nullopt : std::optional(made);
}

std::optional<std::string> Rewriter::rewrite(std::string_view address, Role role)
{
    const auto made = rewrite(smtp::mailbox_of(address), role, options_.local);
    return made ? std::optional(made->text()) : std::nullopt;
}

Step Rewriter::outcome() const
{
    if (not_yet_)
        return *not_yet_;
    return refusal_;
}

// ---- The links

Step rewrite_header(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups)
{
    const Completion& completion = draft.local_client ? options.local : options.remote;
    if (completion.origin.empty())
        return std::nullopt;
    Rewriter rewriter(draft, options, asked, lookups);
    message::HeaderWalk walk(draft.head);
    while (const auto field = walk.next()) {
        const auto kind = message::address_field(field->name);
        if (kind == message::AddressField::none || field->whole.size() > options.header_size_limit)
            continue;
        if (is_dropped(*field, options))
            continue;
        const Role role = kind == message::AddressField::sender ? Role::header_sender : Role::header_recipient;
        const auto rewrite = [&](const smtp::Mailbox& mailbox) { return rewriter.rewrite(mailbox, role, completion); };
        if (auto changed = message::rewrite_addresses(field->body, rewrite, options.token_limit))
            draft.edits.replace(static_cast<std::size_t>(field->body.data() - draft.head.data()), field->body.size(), std::move(*changed));
    }
    return rewriter.outcome();
}

Step rewrite_envelope(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups)
{
    Rewriter rewriter(draft, options, asked, lookups);
    if (auto sender = rewriter.rewrite(draft.envelope.sender(), Role::envelope_sender)) {
        if (draft.envelope.sender_original().empty())
            draft.envelope.set_sender_original(draft.envelope.sender());
        draft.envelope.set_sender(std::move(*sender));
    }
    for (auto& recipient : *draft.envelope.mutable_recipients())
        if (auto address = rewriter.rewrite(recipient.address(), Role::envelope_recipient)) {
            if (recipient.original().empty())
                recipient.set_original(recipient.address());
            recipient.set_address(std::move(*address));
        }
    return rewriter.outcome();
}

namespace {

/// The address that gets a copy; none: nobody.
Result<std::optional<std::string>> copy_for(const tables::Maps& maps, const std::string& address, Draft& draft, const Options& options,
                                            const Asked& asked, Lookups& lookups, std::optional<Refusal>& refusal)
{
    if (maps.empty() || address.empty())
        return std::nullopt;
    const auto found = maps.find_address(lookups, address, options.own.delimiter, &asked.own);
    if (!found) {
        if (lookups.waiting())
            return found.error();
        draft.log.push_back(fmt::format("warning: {} map lookup problem for {} -- message not accepted, try again later", maps.parameter(),
                                        printable(address, true)));
        refusal = table_error;
        return std::nullopt;
    }
    const auto& value = *found;
    return value ? std::optional(std::string(trim(value->value))) : std::nullopt;
}

Step copy_to(const std::vector<std::string>& copies, Draft& draft, const Options& options, const Asked& asked, Lookups& lookups)
{
    Rewriter rewriter(draft, options, asked, lookups);
    for (const std::string& copy : copies) {
        handoff::Recipient& recipient = *draft.envelope.add_recipients();
        recipient.set_index(static_cast<std::uint32_t>(draft.envelope.recipients_size()) - 1);
        recipient.set_address(rewriter.rewrite(copy, Role::envelope_recipient).value_or(copy));
        recipient.set_notify(handoff::NOTIFY_NEVER);
    }
    return rewriter.outcome();
}

}  // namespace

Step add_copies(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups)
{
    std::vector<std::string> copies = draft.findings.bcc;
    if (!options.address_mappings || (options.always_bcc.empty() && asked.sender_bcc.empty() && asked.recipient_bcc.empty()))
        return copy_to(copies, draft, options, asked, lookups);
    std::optional<Refusal> refusal;
    std::optional<Error> not_yet;
    const auto ask = [&](const tables::Maps& maps, const std::string& address) {
        auto copy = copy_for(maps, address, draft, options, asked, lookups, refusal);
        if (!copy)
            not_yet = copy.error();
        else if (*copy)
            copies.push_back(**std::move(copy));
    };
    ask(asked.sender_bcc, draft.envelope.sender());
    for (const auto& recipient : draft.envelope.recipients())
        ask(asked.recipient_bcc, recipient.address());
    if (not_yet)
        return *not_yet;
    if (refusal)
        return refusal;
    if (!options.always_bcc.empty())
        copies.push_back(options.always_bcc);
    return copy_to(copies, draft, options, asked, lookups);
}

}  // namespace posthorn::cleanup
