#include "services/outbound_editor.hpp"

#include "base/strings.hpp"
#include "cleanup/checks.hpp"
#include "cleanup/params.hpp"
#include "config/site.hpp"
#include "message/address_list.hpp"
#include "message/edits.hpp"
#include "message/header.hpp"
#include "send/params.hpp"
#include "tables/params.hpp"

#include <fmt/format.h>

namespace posthorn::services {

namespace {

constexpr std::size_t shown_octets = 60;          // of a field, in the log
constexpr tables::Flags check_flags{.fold = false, .utf8 = false};

bool names(std::string_view list, std::string_view word)
{
    return std::ranges::any_of(split(list, " \t\r\n,"), [&](std::string_view item) { return iequals(item, word); });
}

/// What a check says of a field: its text, and whether that comes before the field or in its place.
struct Said {
    bool keeps = true;
    std::string text;
};

Said obey(std::string_view action, std::string_view field, const tables::Maps& maps, std::vector<std::string>& log)
{
    const std::size_t end = std::min(action.find_first_of(" \t"), action.size());
    const std::string word = to_lower(action.substr(0, end));
    const std::string_view text = trim(action.substr(end));
    const auto note = [&](std::string_view what) {
        log.push_back(fmt::format("{}: header {}{}{}", what, printable(field.substr(0, shown_octets), true), text.empty() ? "" : ": ", text));
    };
    const auto fits = [&] {
        const bool good = message::HeaderWalk(std::string(text) + "\r\n").next().has_value();
        if (!good)
            log.push_back(fmt::format("warning: bad {} header text \"{}\" in {} map -- need \"headername: headervalue\"", to_upper(word), text,
                                      maps.parameter()));
        return good;
    };
    if (word == "warn")
        note("warning");
    else if (word == "info")
        note("info");
    else if (word == "strip" || word == "ignore") {
        if (word == "strip")
            note("strip");
        return {false, {}};
    } else if (word == "replace" || word == "prepend") {
        if (fits()) {
            note(word);
            return {word == "prepend", std::string(text)};
        }
    } else if (word != "dunno" && word != "ok")
        log.push_back(fmt::format("warning: unsupported command in {} map: {}", maps.parameter(), action.substr(0, end)));
    return {};
}

}  // namespace

OutboundEditor::OutboundEditor(const config::Snapshot& config, std::string_view prefix, tables::FileOpener& opener, tables::Tables& tables,
                               observe::Log log)
    : own_options_(tables::OwnOptions::from(config, config::this_host("smtp").addresses, opener)), own_(own_options_, tables),
      generic_(config::name_as(send::smtp_generic_maps.name, prefix), config.get(send::smtp_generic_maps, prefix), own_options_.flags, tables),
      header_(config::name_as(send::smtp_header_checks.name, prefix), config.get(send::smtp_header_checks, prefix), check_flags, tables),
      mime_(config::name_as(send::smtp_mime_header_checks.name, prefix), config.get(send::smtp_mime_header_checks, prefix), check_flags, tables),
      field_limit_(static_cast<std::size_t>(config.get(cleanup::header_size_limit))),
      token_limit_(static_cast<std::size_t>(config.get(cleanup::header_address_token_limit))),
      propagate_(names(config.get(tables::propagate_unmatched_extensions), "generic")), log_(std::move(log))
{
}

Result<std::optional<std::string>> OutboundEditor::mapped(tables::Lookups& lookups, std::string_view address) const
{
    if (generic_.empty() || address.empty())
        return std::nullopt;
    TRY(const auto found, generic_.find_address(lookups, address, own_options_.delimiter, &own_));
    if (!found)
        return std::nullopt;
    if (found->value.starts_with('@'))
        return std::string(tables::split_address(address).local) + std::string(trim(found->value));
    for (const auto& member : message::parse_address_list(found->value).addresses) {
        if (member.malformed || member.mailbox.null())
            continue;
        smtp::Mailbox mailbox = member.mailbox;
        if (propagate_)
            mailbox.local += found->extension;
        if (mailbox.domain.empty())
            mailbox.domain = own_options_.myorigin;
        return mailbox.text();
    }
    return std::nullopt;
}

Result<send::Edited> OutboundEditor::decide(tables::Lookups& lookups, const handoff::Envelope& envelope, const std::string& head,
                                            std::vector<std::string>& log) const
{
    log.clear();
    send::Edited edited;
    std::optional<Error> trouble;                                // of one round all that is to be asked is asked
    const auto ask = [&](std::string_view address) -> std::optional<std::string> {
        auto made = mapped(lookups, address);
        if (!made)
            trouble = made.error();
        return made ? *made : std::nullopt;
    };
    edited.sender = ask(envelope.sender()).value_or(envelope.sender());
    for (const handoff::Recipient& recipient : envelope.recipients())
        edited.recipients.push_back(ask(recipient.address()).value_or(recipient.address()));

    message::Edits edits;
    const auto rewrite = [&](const smtp::Mailbox& mailbox) -> std::optional<smtp::Mailbox> {
        const auto made = ask(mailbox.text());
        return made ? std::optional(smtp::mailbox_of(*made)) : std::nullopt;
    };
    message::HeaderWalk walk(head);
    while (const auto field = walk.next()) {
        std::string replaced;
        std::string_view body = field->body;
        const tables::Maps& checks = cleanup::is_mime_field(field->name) ? mime_ : header_;
        if (!checks.empty()) {
            const std::string text = cleanup::check_text(field->whole, field_limit_);
            const auto action = checks.find(lookups, text);
            if (!action)
                trouble = action.error();
            else if (const std::optional<std::string>& said_by = *action) {
                Said said = obey(trim(*said_by), text, checks, log);
                if (said.keeps && !said.text.empty())
                    edits.insert(field->offset, said.text + "\r\n");
                if (!said.keeps) {
                    if (said.text.empty())
                        edits.remove(field->offset, field->whole.size());
                    else
                        edits.replace(field->offset, field->whole.size(), said.text + "\r\n");
                    continue;
                }
            }
        }
        if (generic_.empty() || message::address_field(field->name) == message::AddressField::none)
            continue;
        if (auto changed = message::rewrite_addresses(body, rewrite, token_limit_))
            edits.replace(static_cast<std::size_t>(body.data() - head.data()), body.size(), *std::move(changed));
    }
    if (trouble)
        return *trouble;
    if (!edits.empty())
        edited.head = edits.apply(head);
    return edited;
}

awaitable<Result<send::Edited>> OutboundEditor::edit(const handoff::Envelope& envelope, std::string head)
{
    std::vector<std::string> log;
    auto edited = co_await tables::settle([&](tables::Lookups& lookups) { return decide(lookups, envelope, head, log); });
    for (const std::string& line : log) {
        if (line.starts_with("warning: bad ") || line.starts_with("warning: unsupported "))
            log_.warning("{}: {}", envelope.queue_id(), line.substr(9));
        else
            log_.info("{}: {}", envelope.queue_id(), line);
    }
    co_return edited;
}

}  // namespace posthorn::services
