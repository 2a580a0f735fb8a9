#include "report/notice.hpp"

#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "message/compose.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

namespace posthorn::report {

namespace {

constexpr std::size_t width = 78;

/// One space before each line; those that are too long go on with four more, broken at white space where there is some within the line.
std::string transcript_line(std::string_view line)
{
    std::string out = " ";
    for (std::size_t room = width; line.size() > room; room = width - 4) {
        std::size_t at = line.substr(0, room + 1).find_last_of(" \t");
        if (at == line.npos || line.find_first_not_of(" \t") > at)
            at = line.find_first_of(" \t", room);
        if (at == line.npos)
            break;
        out += fmt::format("{}\r\n     ", line.substr(0, at));
        line.remove_prefix(std::min(line.find_first_not_of(" \t", at), line.size()));
    }
    return fmt::format("{}{}\r\n", out, line);
}

}  // namespace

handoff::EnqueueRequest session_notice(const handoff::SessionNotice& notice, const Options& options, std::string queue_id, WallTime now)
{
    const std::string& to = notice.bounce() ? options.bounce_notice_recipient : options.error_notice_recipient;
    const std::string id = message::message_id(now, queue_id, options.myhostname);
    std::string text;
    const auto field = [&](std::string_view name, std::string_view value) { text += fmt::format("{}: {}\r\n", name, value); };
    field("Date", message::date(now, options.zone(now)));
    field("From", message::named_address("Mail Delivery System", {"MAILER-DAEMON", options.myorigin}));
    field("To", message::named_address("Postmaster", smtp::mailbox_of(options.error_notice_recipient)));
    field("Subject", printable(fmt::format("{} SMTP server: errors from {}", options.mail_name, notice.client())));
    field("Message-Id", id);
    text += "\r\nTranscript of session follows.\r\n\r\n";
    for (const std::string_view line : split(notice.transcript(), "\n"))
        text += transcript_line(printable(line));
    text += notice.aborted().empty() ? "\r\n" : fmt::format("\r\nSession aborted, reason: {}\r\n", notice.aborted());
    text += "\r\nFor other details, see the local mail logfile\r\n";

    handoff::EnqueueRequest made;
    handoff::Envelope& envelope = *made.mutable_envelope();
    envelope.set_queue_id(std::move(queue_id));
    envelope.set_arrival(now.time_since_epoch().count());
    envelope.set_sender(options.double_bounce_sender);
    envelope.add_recipients()->set_address(to);
    envelope.set_size(text.size());
    envelope.set_body(handoff::BODY_7BIT);
    envelope.set_purpose(handoff::PURPOSE_NOTIFICATION);
    envelope.set_message_id(id);
    made.mutable_content()->set_inline_octets(std::move(text));
    return made;
}

}  // namespace posthorn::report
