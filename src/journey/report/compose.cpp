#include "report/compose.hpp"

#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "handoff/requiretls_field.hpp"
#include "message/compose.hpp"
#include "report/explain.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

namespace posthorn::report {

using handoff::Envelope;
using handoff::Recipient;
using handoff::ReportRequest;
using handoff::Verdict;

namespace {

WallTime time_of(std::int64_t microseconds) { return WallTime{std::chrono::microseconds{microseconds}}; }

const Recipient* recipient_of(const Envelope& envelope, std::uint32_t index)
{
    for (const Recipient& recipient : envelope.recipients())
        if (recipient.index() == index)
            return &recipient;
    return nullptr;
}

/// Lines of at most 79 columns, broken at spaces, continued by four; a word that is longer stays whole.
std::string wrapped(std::string_view text)
{
    std::string out;
    std::size_t column = 0;
    for (const std::string_view word : split(text, " \t\r\n")) {
        if (column > 0 && column + 1 + word.size() > 79) {
            out += "\r\n    ";
            column = 4;
        } else if (column > 0) {
            out += ' ';
            ++column;
        }
        out += word;
        column += word.size();
    }
    return out + "\r\n";
}

std::string with_crlf(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        if (c == '\r')
            continue;
        if (c == '\n')
            out += '\r';
        out += c;
    }
    return out;
}

/// An address as a field has it.
std::string external(std::string_view address) { return printable(smtp::mailbox_of(address).quoted(), true); }

/// What is composed for one addressee.
struct Letter {
    const ReportRequest& request;
    const Options& options;
    const std::vector<std::size_t>& verdicts;
    const std::vector<std::string>& explanations;
    bool to_postmaster;
    std::string to, queue_id;

    const Envelope& envelope() const { return request.envelope(); }
    const Template& words() const
    {
        switch (request.kind()) {
        case ReportRequest::DELAY: return options.templates.delay;
        case ReportRequest::SUCCESS: return options.templates.success;
        case ReportRequest::VERIFY: return options.templates.verify;
        default: return options.templates.failure;
        }
    }

    std::string date(WallTime when) const { return message::date(when, options.zone(when)); }
    std::string boundary() const { return fmt::format("{}.{}/{}", envelope().queue_id(), request.now() / 1'000'000, options.myhostname); }

    /// The recipients, the reply to each, in words.
    std::string notification() const
    {
        std::string text =
            with_crlf(expand_template(words().text, [this](std::string_view name) { return template_parameter(request, options, name); }));
        const bool explains = !to_postmaster && is_valid_utf8(text);          // what is no UTF-8 cannot stand beside what is
        text += fmt::format("\r\n{:>34}\r\n", "The mail system");
        for (const auto& [explanation, members] : groups(explains)) {
            if (!explanation.empty())
                text += "\r\n" + paragraph(explanation);
            for (const std::size_t i : members)
                text += lines_of(request.verdicts(static_cast<int>(i)));
        }
        return text;
    }

    /// By what is said above them, in the order in which the first of each came; those of whom nothing is said are the first.
    std::vector<std::pair<std::string_view, std::vector<std::size_t>>> groups(bool explains) const
    {
        std::vector<std::pair<std::string_view, std::vector<std::size_t>>> found(1);
        for (const std::size_t i : verdicts) {
            const std::string_view explanation = explains && i < explanations.size() ? trim(explanations[i]) : std::string_view();
            auto group = std::ranges::find(found, explanation, &decltype(found)::value_type::first);
            if (group == found.end())
                group = found.insert(group, {explanation, {}});
            group->second.push_back(i);
        }
        return found;
    }

    std::string lines_of(const Verdict& verdict) const
    {
        const Recipient* recipient = recipient_of(envelope(), verdict.recipient());
        if (recipient == nullptr)
            return {};
        std::string line = fmt::format("<{}>", recipient->address());
        if (!recipient->original().empty() && recipient->original() != recipient->address())
            line += fmt::format(" (expanded from <{}>)", recipient->original());
        line += ": " + via(verdict) + verdict.text();
        return "\r\n" + wrapped(printable(line, true));
    }

    /// What was done on demand, or well, says where.
    std::string via(const Verdict& verdict) const
    {
        const bool told = request.kind() == ReportRequest::VERIFY || request.kind() == ReportRequest::SUCCESS;
        return !told || verdict.relay().empty() || verdict.relay() == "none" ? std::string() : fmt::format("delivery via {}: ", verdict.relay());
    }

    /// RFC 3464 2.1: per-message fields, then a group for each recipient.
    std::string delivery_status(bool global) const
    {
        const std::string_view address_type = global ? "utf-8" : "rfc822";
        std::string text = fmt::format("Reporting-MTA: dns; {}\r\n", options.myhostname);
        if (!envelope().envid().empty())
            text += fmt::format("Original-Envelope-Id: {}\r\n", printable(envelope().envid()));
        text += fmt::format("X-Postfix-Queue-ID: {}\r\n", envelope().queue_id());
        if (!envelope().sender().empty())
            text += fmt::format("X-Postfix-Sender: {}; {}\r\n", address_type, external(envelope().sender()));
        text += fmt::format("Arrival-Date: {}\r\n", date(time_of(envelope().arrival())));
        if (envelope().has_release() && !envelope().release().request().empty())
            text += fmt::format("Future-Release-Request: {}\r\n", printable(envelope().release().request()));
        for (const std::size_t i : verdicts) {
            const Verdict& verdict = request.verdicts(static_cast<int>(i));
            const Recipient* recipient = recipient_of(envelope(), verdict.recipient());
            if (recipient == nullptr)
                continue;
            text += fmt::format("\r\nFinal-Recipient: {}; {}\r\n", address_type, external(recipient->address()));
            if (!recipient->orcpt().empty())
                text += fmt::format("Original-Recipient: {}\r\n", printable(recipient->orcpt(), true));
            else
                text += fmt::format("Original-Recipient: {};{}\r\n", address_type,
                                    external(recipient->original().empty() ? recipient->address() : recipient->original()));
            text += fmt::format("Action: {}\r\n", action(verdict));
            text += fmt::format("Status: {}\r\n", verdict.status());
            if (!verdict.remote_mta().empty())
                text += fmt::format("Remote-MTA: dns; {}\r\n", printable(verdict.remote_mta()));
            if (!verdict.diagnostic().empty())
                text += "Diagnostic-Code: " + wrapped("smtp; " + printable(verdict.diagnostic(), true));
            else
                text += "Diagnostic-Code: " + wrapped("X-Postfix; " + printable(via(verdict) + verdict.text(), true));
            if (request.kind() == ReportRequest::DELAY)
                text += fmt::format("Will-Retry-Until: {}\r\n", date(time_of(request.gives_up(static_cast<int>(i)))));
        }
        return text;
    }

    std::string_view action(const Verdict& verdict) const
    {
        switch (request.kind()) {
        case ReportRequest::DELAY: return "delayed";
        case ReportRequest::SUCCESS: return verdict.action().empty() ? std::string_view("relayed") : std::string_view(verdict.action());
        case ReportRequest::VERIFY:
            if (envelope().purpose() == handoff::PURPOSE_VERIFY_ADDRESS)
                return verdict.outcome() == handoff::OUTCOME_DELIVERED ? "deliverable" : "undeliverable";
            return verdict.outcome() == handoff::OUTCOME_DELIVERED
                       ? (verdict.action().empty() ? std::string_view("relayed") : std::string_view(verdict.action()))
                   : verdict.outcome() == handoff::OUTCOME_DEFERRED ? "delayed"
                                                                    : "failed";
        default: return "failed";
        }
    }

    std::string compose() const
    {
        const std::string human = notification();
        // The postmaster's copy of what the sender gets has the header alone.
        // Of mail that requires TLS no content goes where it may go in clear.
        const bool redacted = envelope().requiretls() && options.redact_requiretls;
        const bool whole =
            request.whole() && request.kind() == ReportRequest::FAILURE && (!to_postmaster || envelope().sender().empty()) && !redacted;
        const bool global = envelope().smtputf8();
        std::string_view returned = request.header();
        if (!whole)
            if (const std::size_t end = returned.find("\r\n\r\n"); end != returned.npos)
                returned = returned.substr(0, end + 2);
        const std::string status = delivery_status(global), return_path = external(envelope().sender());
        const bool returned_eight_bit = !is_ascii(returned) || !is_ascii(return_path);
        const bool eight_bit = !is_ascii(human) || !is_ascii(status) || returned_eight_bit || global;

        const Template& template_words = words();
        const std::string& subject =
            to_postmaster && !template_words.postmaster_subject.empty() ? template_words.postmaster_subject : template_words.subject;
        std::string from = template_words.from;
        if (const std::size_t space = from.find_first_of(" ("); from.find('@') == from.npos)
            from.insert(std::min(space, from.size()), "@" + options.myorigin);      // "MAILER-DAEMON (...)" gets our domain
        // The name stands before the address, as in every From that is made here (RFC 5322 has the comment for obsolete).
        if (const std::size_t open = from.find(" ("); open != from.npos && from.ends_with(')') && from.find_first_of("<\"") == from.npos)
            from = fmt::format("{} <{}>", message::quote_phrase(from.substr(open + 2, from.size() - open - 3)), from.substr(0, open));

        std::string text;
        const auto field = [&](std::string_view name, std::string_view value) { text += fmt::format("{}: {}\r\n", name, value); };
        field("Date", date(time_of(request.now())));
        field("From", from);
        field("Subject", subject);
        field("To", external(to));
        field("Auto-Submitted", "auto-replied");
        if (options.threaded && !envelope().message_id().empty() && !to_postmaster) {
            field("In-Reply-To", envelope().message_id());
            field("References", envelope().message_id());
        }
        if (envelope().tls_optional())
            field(handoff::tls_required_field_name, "no");
        field("MIME-Version", "1.0");
        text += fmt::format("Content-Type: multipart/report; report-type={}delivery-status;\r\n\tboundary=\"{}\"\r\n", global ? "global-" : "",
                            boundary());
        if (eight_bit)
            field("Content-Transfer-Encoding", "8bit");
        field("Message-Id", fmt::format("<{}.{}@{}>", queue_id, request.now() / 1'000'000, options.myhostname));
        text += "\r\nThis is a MIME-encapsulated message.\r\n";

        const auto part = [&](std::string_view description, std::string_view type, bool part_eight_bit) {
            text += fmt::format("\r\n--{}\r\nContent-Description: {}\r\nContent-Type: {}\r\n{}\r\n", boundary(), description, type,
                                part_eight_bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
        };
        const bool utf8 = !is_ascii(human) && is_valid_utf8(human);
        part("Notification", fmt::format("text/plain; charset={}", utf8 ? std::string("utf-8") : template_words.charset), !is_ascii(human));
        text += human;
        part("Delivery report", global ? "message/global-delivery-status" : "message/delivery-status", !is_ascii(status));
        text += status;
        if (whole)
            part("Undelivered Message", global ? "message/global" : "message/rfc822", returned_eight_bit);
        else
            part(request.kind() == ReportRequest::FAILURE ? "Undelivered Message Headers"
                 : request.kind() == ReportRequest::DELAY ? "Delayed Message Headers"
                                                          : "Message Headers",
                 global ? "message/global-headers" : "text/rfc822-headers", returned_eight_bit);
        text += fmt::format("Return-Path: <{}>\r\n", return_path);
        text += returned;
        if (!text.ends_with("\r\n"))
            text += "\r\n";
        text += fmt::format("\r\n--{}--\r\n", boundary());
        return text;
    }

    handoff::EnqueueRequest message(std::string sender) const
    {
        handoff::EnqueueRequest made;
        const std::string octets = compose();
        Envelope& out = *made.mutable_envelope();
        out.set_queue_id(queue_id);
        out.set_arrival(request.now());
        out.set_sender(std::move(sender));
        Recipient& recipient = *out.add_recipients();
        recipient.set_address(to);
        recipient.set_notify(handoff::NOTIFY_NEVER);
        out.set_size(octets.size());
        out.set_body(is_ascii(octets) ? handoff::BODY_7BIT : handoff::BODY_8BIT);
        out.set_smtputf8(envelope().smtputf8());
        out.set_requiretls(envelope().requiretls());              // RFC 8689 5
        out.set_tls_optional(envelope().tls_optional());
        out.set_purpose(handoff::PURPOSE_NOTIFICATION);
        out.set_bounce_to(envelope().queue_id());
        out.set_message_id(fmt::format("<{}.{}@{}>", queue_id, request.now() / 1'000'000, options.myhostname));
        made.mutable_content()->set_inline_octets(octets);
        return made;
    }
};

std::string_view name_of(ReportRequest::Kind kind)
{
    switch (kind) {
    case ReportRequest::DELAY: return "delay notification";
    case ReportRequest::SUCCESS:
    case ReportRequest::VERIFY: return "delivery status notification";
    default: return "non-delivery notification";
    }
}

}  // namespace

std::optional<std::string> template_parameter(const ReportRequest& request, const Options& options, std::string_view name)
{
    if (request.kind() == ReportRequest::DELAY && name == "delay_warning_time")
        return std::to_string(request.warned_after());
    if (request.kind() == ReportRequest::DELAY && name == "maximal_queue_lifetime" && request.gives_up_size() != 0) {
        const std::int64_t last = *std::ranges::max_element(request.gives_up());
        return std::to_string((last - request.envelope().arrival()) / 1'000'000);
    }
    return options.parameter(name);
}

std::string domain_of_recipient(const ReportRequest& request, std::size_t verdict)
{
    const Recipient* const recipient = recipient_of(request.envelope(), request.verdicts(static_cast<int>(verdict)).recipient());
    const std::size_t at = recipient == nullptr ? std::string::npos : recipient->address().rfind('@');
    return at == std::string::npos ? std::string() : recipient->address().substr(at + 1);
}

handoff::ReportReply compose(const ReportRequest& request, const Options& options, const std::vector<std::string>& explanations)
{
    handoff::ReportReply reply;
    const Envelope& envelope = request.envelope();
    const Addressees addressees = whom(request, options.notify, options.double_bounce_sender);
    if (addressees.discard) {
        reply.add_log(fmt::format("{}: undeliverable postmaster notification discarded", envelope.queue_id()));
        return reply;
    }
    int next_id = 0;
    const auto send = [&](const std::vector<std::size_t>& verdicts, bool to_postmaster, std::string to, std::string sender, std::string_view who) {
        if (verdicts.empty() || next_id >= request.queue_ids_size())
            return;
        const Letter letter{request, options, verdicts, explanations, to_postmaster, std::move(to), request.queue_ids(next_id++)};
        *reply.add_messages() = letter.message(std::move(sender));
        reply.add_log(fmt::format("{}: {} {}: {}", envelope.queue_id(), who, name_of(request.kind()), letter.queue_id));
    };
    send(addressees.for_sender, false, envelope.sender(), "", "sender");
    const std::string& postmaster = request.kind() == ReportRequest::DELAY ? options.delay_notice_recipient
                                    : envelope.sender().empty()            ? options.double_bounce_notice_recipient
                                                                           : options.bounce_notice_recipient;
    send(addressees.for_postmaster, true, postmaster, options.double_bounce_sender, "postmaster");
    return reply;
}

}  // namespace posthorn::report
