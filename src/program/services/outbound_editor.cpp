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

#include <charconv>

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

Said obey(std::string_view kind, std::string_view action, std::string_view field, const tables::Maps& maps, std::vector<std::string>& log)
{
    const std::size_t end = std::min(action.find_first_of(" \t"), action.size());
    const std::string word = to_lower(action.substr(0, end));
    const std::string_view text = trim(action.substr(end));
    const auto note = [&](std::string_view what) {
        log.push_back(fmt::format("{}: {} {}{}{}", what, kind, printable(field.substr(0, shown_octets), true), text.empty() ? "" : ": ", text));
    };
    const auto fits = [&] {
        const bool good = kind != "header" || message::HeaderWalk(std::string(text) + "\r\n").next().has_value();
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
            return {word == "prepend", cleanup::as_lines(text, kind == "header")};
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
      nested_(config::name_as(send::smtp_nested_header_checks.name, prefix), config.get(send::smtp_nested_header_checks, prefix), check_flags,
              tables),
      body_(config::name_as(send::smtp_body_checks.name, prefix), config.get(send::smtp_body_checks, prefix), check_flags, tables),
      mime_input_(!config.get(cleanup::disable_mime_input_processing)),
      field_limit_(static_cast<std::size_t>(config.get(cleanup::header_size_limit))),
      token_limit_(static_cast<std::size_t>(config.get(cleanup::header_address_token_limit))),
      propagate_(names(config.get(tables::propagate_unmatched_extensions), "generic")), log_(std::move(log))
{
    limits_.depth = static_cast<unsigned>(config.get(cleanup::mime_nesting_limit)) + 2;
    limits_.boundary = static_cast<std::size_t>(config.get(cleanup::mime_boundary_length_limit));
    limits_.field = field_limit_;
    const std::string line = config.text("line_length_limit");
    std::from_chars(line.data(), line.data() + line.size(), limits_.line);
    limits_.lines_to = body_.empty() ? 0 : UINT64_MAX;                 // body_checks_size_limit is cleanup's
}

message::MimeStream OutboundEditor::stream_behind(std::string_view head) const
{
    message::ContentType type;
    message::Encoding encoding = message::Encoding::seven_bit;
    message::HeaderWalk walk(head);
    while (const auto field = walk.next()) {
        if (field->is("Content-Type"))
            type = message::parse_content_type(field->body);
        else if (field->is("Content-Transfer-Encoding"))
            encoding = message::parse_encoding(field->body);
    }
    return mime_input_ ? message::MimeStream(type, encoding, limits_) : message::MimeStream({}, message::Encoding::eight_bit, limits_);
}

bool OutboundEditor::wants_body(std::string_view head) const
{
    if (!body_.empty())
        return true;
    return (!mime_.empty() || !nested_.empty()) && mime_input_ && !stream_behind(head).plain();
}

Result<std::optional<std::string>> OutboundEditor::decide_body(tables::Lookups& lookups, const std::string& head, const std::string& body,
                                                               std::vector<std::string>& log) const
{
    using Kind = message::MimeStream::Item::Kind;
    log.clear();
    message::MimeStream stream = stream_behind(head);
    stream.add(body);
    stream.end();
    std::string out;
    std::optional<Error> trouble;
    bool changed = false, swallow = false;
    while (const auto item = stream.next()) {
        swallow = swallow && item->continues;
        if (swallow)
            continue;
        const bool field = item->kind == Kind::field;
        const std::string_view name = item->text.substr(0, item->text.find_first_of(": \t"));
        const bool nested = item->place == message::MimeStream::Place::nested && !cleanup::is_mime_field(name);
        const tables::Maps& maps = !field ? body_ : nested ? nested_ : mime_;
        if ((!field && item->kind != Kind::line) || maps.empty()) {
            out += item->text;
            continue;
        }
        std::string_view bare = item->text;
        while (!field && (bare.ends_with('\n') || bare.ends_with('\r')))
            bare.remove_suffix(1);
        const std::string text = field ? cleanup::check_text(item->text, field_limit_) : std::string(bare);
        if (text.empty()) {                                      // empty lines never match
            out += item->text;
            continue;
        }
        const auto action = maps.find(lookups, text);
        if (!action) {
            trouble = action.error();
            continue;
        }
        Said said;
        if (*action)
            said = obey(field ? "header" : "body", trim(**action), text, maps, log);
        changed = changed || !said.keeps || !said.text.empty();
        if (!said.text.empty())
            out += said.text + "\r\n";
        if (said.keeps)
            out += item->text;
        else
            swallow = field && item->to_be_continued;
    }
    if (trouble)
        return *trouble;
    return changed ? std::optional(std::move(out)) : std::nullopt;
}

awaitable<Result<std::optional<std::string>>> OutboundEditor::edit_body(const handoff::Envelope& envelope, std::string head, std::string body)
{
    std::vector<std::string> log;
    auto edited = co_await tables::settle([&](tables::Lookups& lookups) { return decide_body(lookups, head, body, log); });
    tell(envelope, log);
    co_return edited;
}

void OutboundEditor::tell(const handoff::Envelope& envelope, const std::vector<std::string>& log) const
{
    for (const std::string& line : log) {
        if (line.starts_with("warning: bad ") || line.starts_with("warning: unsupported "))
            log_.warning("{}: {}", envelope.queue_id(), line.substr(9));
        else
            log_.info("{}: {}", envelope.queue_id(), line);
    }
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
                Said said = obey("header", trim(*said_by), text, checks, log);
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
    tell(envelope, log);
    co_return edited;
}

}  // namespace posthorn::services
