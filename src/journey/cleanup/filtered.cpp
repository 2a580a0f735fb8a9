// What mail filters make of a message: changes of the envelope, rewritten as what came by SMTP was, and header fields, which
// milter_header_checks looks at.
#include "base/strings.hpp"
#include "cleanup/cleaner.hpp"
#include "smtp/command.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::cleanup {

namespace {

using milter::EnvelopeChange;

std::string in_brackets(std::string_view address)
{
    address = trim(address);
    return address.starts_with('<') ? std::string(address) : fmt::format("<{}>", address);
}

/// The command that says it; where the arguments are wrong, without them.
template <class Parse>
auto command_of(Parse parse, std::string_view verb, const EnvelopeChange& change, std::vector<std::string>& warnings)
{
    smtp::CommandOptions options;
    options.path.utf8 = true;
    const std::string path = fmt::format("{}:{}", verb, in_brackets(change.address));
    auto command = parse(change.arguments.empty() ? path : fmt::format("{} {}", path, change.arguments), options);
    if (!command && !change.arguments.empty()) {
        warnings.push_back(fmt::format("ignoring bad ESMTP arguments \"{}\" of a Milter's request for {}", printable(change.arguments, true),
                                       printable(change.address, true)));
        command = parse(path, options);
    }
    if (!command)
        warnings.push_back(fmt::format("ignoring a Milter's request for a bad address: {}", printable(change.address, true)));
    return command;
}

auto mail_of(const EnvelopeChange& change, std::vector<std::string>& warnings)
{
    return command_of([](std::string_view text, const smtp::CommandOptions& with) { return smtp::parse_mail(text, with); }, "FROM", change, warnings);
}

auto rcpt_of(const EnvelopeChange& change, std::vector<std::string>& warnings)
{
    return command_of([](std::string_view text, const smtp::CommandOptions& with) { return smtp::parse_rcpt(text, with); }, "TO", change, warnings);
}

void number(handoff::Envelope& envelope)
{
    std::uint32_t index = 0;
    for (handoff::Recipient& recipient : *envelope.mutable_recipients())
        recipient.set_index(index++);
}

bool same(const handoff::Recipient& a, const handoff::Recipient& b)
{
    return iequals(a.address(), b.address()) && a.orcpt() == b.orcpt() && a.notify() == b.notify() && a.original() == b.original();
}

}  // namespace

awaitable<std::expected<handoff::Envelope, Refusal>> Cleaner::changed(handoff::Envelope envelope, std::vector<EnvelopeChange> changes)
{
    std::vector<std::string> warnings;
    for (const EnvelopeChange& change : changes) {
        // What is new goes the way of the message's own, in an envelope of its own.
        handoff::Envelope fresh;
        *fresh.mutable_client() = envelope.client();
        fresh.set_queue_id(envelope.queue_id());
        switch (change.kind) {
        case EnvelopeChange::Kind::sender: {
            const auto command = mail_of(change, warnings);
            if (!command)
                continue;
            fresh.set_sender(command->reverse_path.text());
            auto made = co_await rewritten(std::move(fresh));
            if (!made)
                co_return std::unexpected(std::move(made).error());
            if (envelope.sender_original().empty())
                envelope.set_sender_original(envelope.sender());
            envelope.set_sender(made->sender());
            if (command->ret != smtp::Ret::unspecified)
                envelope.set_ret(command->ret == smtp::Ret::full ? handoff::RET_FULL : handoff::RET_HDRS);
            if (const auto& envid = command->envid)
                envelope.set_envid(*envid);
            break;
        }
        case EnvelopeChange::Kind::add_recipient: {
            const auto command = rcpt_of(change, warnings);
            if (!command)
                continue;
            handoff::Recipient& recipient = *fresh.add_recipients();
            recipient.set_address(command->forward_path.text());
            const smtp::Notify& notify = command->notify;
            recipient.set_notify((notify.never ? handoff::NOTIFY_NEVER : 0U) | (notify.success ? handoff::NOTIFY_SUCCESS : 0U) |
                                 (notify.failure ? handoff::NOTIFY_FAILURE : 0U) | (notify.delay ? handoff::NOTIFY_DELAY : 0U));
            if (const auto& orcpt = command->orcpt)
                recipient.set_orcpt(orcpt->type + ";" + orcpt->address);
            auto made = co_await rewritten(std::move(fresh));
            if (!made)
                co_return std::unexpected(std::move(made).error());
            for (const handoff::Recipient& added : made->recipients())
                if (std::ranges::none_of(envelope.recipients(), [&](const handoff::Recipient& known) { return same(known, added); }))
                    *envelope.add_recipients() = added;
            break;
        }
        case EnvelopeChange::Kind::delete_recipient: {
            const auto command = rcpt_of(change, warnings);
            if (!command)
                continue;
            // Whoever it became goes as well.
            const std::string address = command->forward_path.text();
            auto& recipients = *envelope.mutable_recipients();
            const auto is_gone = [&](const handoff::Recipient& recipient) {
                const std::string_view said = recipient.original().empty() ? recipient.address() : recipient.original();
                return said == address || (said.ends_with('.') && said.substr(0, said.size() - 1) == address);     // filters hear no final dot
            };
            recipients.erase(std::remove_if(recipients.begin(), recipients.end(), is_gone), recipients.end());
            break;
        }
        }
    }
    number(envelope);
    for (const std::string& warning : warnings)
        log_.warning("{}: {}", envelope.queue_id(), warning);
    co_return envelope;
}

awaitable<std::expected<handoff::FieldsChecked, Refusal>> Cleaner::check_made(handoff::Envelope envelope, std::vector<std::string> fields)
{
    handoff::FieldsChecked checked(std::move(envelope), std::move(fields));
    const tables::Maps& maps = asked_.checks.made;
    if (maps.empty())
        co_return checked;
    Findings findings;
    for (std::string& field : checked.fields) {
        if (findings.off)
            break;
        const std::string text = check_text(field, options_.header_size_limit);
        const auto found = co_await maps.lookup(text);
        if (!found) {
            refuse_failed(maps, findings);
            break;
        }
        if (const auto& action = *found) {
            const LineEnd end = do_action(made_kind, text, *action, maps, checked.envelope, findings);
            if (!end.kept)
                field = end.text.empty() ? std::string{} : end.text + "\r\n";
        }
    }
    const std::string queue_id = checked.envelope.queue_id();
    log_findings(queue_id, findings);
    if (findings.refusal)
        co_return std::unexpected(*std::move(findings.refusal));
    note_findings(checked.envelope, findings, options_);
    checked.discard = findings.discard;
    if (!findings.bcc.empty()) {
        std::vector<EnvelopeChange> copies;
        for (const std::string& address : findings.bcc)
            copies.emplace_back(EnvelopeChange::Kind::add_recipient, address, "NOTIFY=NEVER");
        auto copied = co_await changed(std::move(checked.envelope), std::move(copies));
        if (!copied)
            co_return std::unexpected(std::move(copied).error());
        checked.envelope = *std::move(copied);
    }
    co_return checked;
}

}  // namespace posthorn::cleanup
