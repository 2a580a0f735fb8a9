// The header of the message before anything else looks at it: what checks replace is rewritten, dropped and completed like what came.
#include "cleanup/chain.hpp"

#include "base/strings.hpp"
#include "message/quoted_printable_stream.hpp"

#include <fmt/format.h>

namespace posthorn::cleanup {

namespace {

void note_type(Draft& draft, const message::Field& field)
{
    if (field.is("Content-Type"))
        draft.type = message::parse_content_type(field.body);
    else if (field.is("Content-Transfer-Encoding"))
        draft.encoding = message::parse_encoding(field.body);
}

/// force_mime_input_conversion: the header says what the body will be.
void announce_conversion(Draft& draft)
{
    message::ContentType type;
    auto encoding = message::Encoding::seven_bit;
    std::size_t at = 0, octets = 0;
    message::HeaderWalk walk(draft.head);
    while (const auto field = walk.next())
        if (field->is("Content-Type"))
            type = message::parse_content_type(field->body);
        else if (field->is("Content-Transfer-Encoding")) {
            encoding = message::parse_encoding(field->body);
            at = field->offset;
            octets = field->whole.size();
        }
    const std::string_view label = message::QuotedPrintableStream::label(type, encoding);
    if (!label.empty())
        draft.head.replace(at, octets, fmt::format("Content-Transfer-Encoding: {}\r\n", label));
    if (!label.empty() || type.type == "multipart" || type.type == "message")
        draft.claimed = encoding;
}

}  // namespace

Step inspect(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups)
{
    if (!draft.envelope.recipients().empty())
        draft.last_recipient = draft.envelope.recipients().rbegin()->address();
    const CheckMaps& maps = asked.checks;
    Findings& findings = draft.findings;
    if (!options.checks.rejected.empty())
        refuse_characters({}, draft.head, options.checks, maps.header, draft.envelope, findings);
    if (!options.checks.stripped.empty())
        draft.head = stripped(draft.head, options.checks.stripped);
    if (options.checks.force_7bit && options.checks.mime_input && !draft.claimed)
        announce_conversion(draft);
    const bool strict = options.checks.strict_headers && !draft.envelope.smtputf8();
    const bool looks = !maps.header.empty() || !maps.mime.empty() || strict;
    std::string head;                                            // from the first change on
    std::size_t copied = 0;                                      // of draft.head
    std::vector<std::pair<std::size_t, std::string>> added;      // before fields, by their place in the new head
    std::optional<Error> not_yet;
    message::HeaderWalk walk(draft.head);
    while (const auto field = walk.next()) {
        note_type(draft, *field);
        if (!looks || findings.off)
            continue;
        if (strict && message::has_8bit(field->whole)) {
            refuse_mime(mime_8bit_header, check_text(field->whole, options.header_size_limit), draft.envelope, findings);
            continue;
        }
        const tables::Maps& asks = is_mime_field(field->name) ? maps.mime : maps.header;
        if (asks.empty())
            continue;
        const std::string text = check_text(field->whole, options.header_size_limit);
        const auto found = asks.find(lookups, text);
        if (!found) {
            if (lookups.waiting())
                not_yet = found.error();                         // the other fields ask in the same round
            else
                refuse_failed(asks, findings);
            continue;
        }
        const auto& action = *found;
        if (!action)
            continue;
        LineEnd end = do_action("header", text, *action, asks, draft.envelope, findings);
        if (end.kept && end.text.empty())
            continue;
        head += std::string_view(draft.head).substr(copied, field->offset - copied);
        copied = field->offset;
        if (end.kept) {
            added.emplace_back(head.size(), end.text + "\r\n");
            continue;
        }
        copied += field->whole.size();
        if (!end.text.empty())
            head += end.text + "\r\n";
    }
    if (not_yet)
        return *not_yet;
    if (options.bad_end == BadEnd::reject && walk.end() == message::HeaderEnd::no_field && !findings.off) {
        const std::string_view line = std::string_view(draft.head).substr(walk.body_offset());
        refuse_mime(mime_no_end, line.substr(0, line.find_first_of("\r\n")), draft.envelope, findings);
    }
    if (copied != 0 || !added.empty()) {
        head += std::string_view(draft.head).substr(copied);
        draft.head = std::move(head);
    }
    for (auto& [offset, text] : added)
        draft.edits.insert(offset, std::move(text));
    return std::nullopt;
}

void note_findings(handoff::Envelope& envelope, const Findings& findings, const Options& options)
{
    if (findings.hold)
        envelope.set_hold(true);
    if (!findings.filter.empty())
        envelope.set_filter(findings.filter);
    if (!findings.redirect.empty())
        envelope.set_redirect(complete_address(findings.redirect, options.local).value_or(findings.redirect));
}

}  // namespace posthorn::cleanup
