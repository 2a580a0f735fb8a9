#include "cleanup/chain.hpp"

#include "handoff/requiretls_field.hpp"
#include "message/compose.hpp"

#include <fmt/format.h>

#include <ctime>

namespace posthorn::cleanup {

namespace {

std::string local_date(WallTime when)
{
    const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::seconds>(when));
    std::tm local{};
    ::localtime_r(&seconds, &local);
    return message::date(when, std::chrono::minutes{local.tm_gmtoff / 60}, local.tm_zone != nullptr ? local.tm_zone : "");
}

}  // namespace

Step add_missing(Draft& draft, const Options& options)
{
    std::string added;
    const std::string_view prefix = draft.resent ? "Resent-" : "";
    const auto add = [&](std::string_view name, std::string_view body) { added += message::field(fmt::format("{}{}", prefix, name), body); };
    if (draft.local_client || options.always_add_missing || !options.remote.domain.empty()) {
        const WallTime arrival{std::chrono::microseconds{draft.envelope.arrival()}};
        if (draft.resent ? !draft.resent_message_id : !draft.message_id) {
            std::string id = message::message_id(arrival, draft.envelope.queue_id(), options.hostname);
            add("Message-Id", id);
            draft.log.push_back(fmt::format("{}message-id={}", draft.resent ? "resent-" : "", id));
            if (!draft.resent)
                draft.envelope.set_message_id(std::move(id));
        }
        if (draft.resent ? !draft.resent_date : !draft.date)
            add("Date", local_date(arrival));
        if (draft.resent ? !draft.resent_from : !draft.from) {
            const std::string& sender = draft.envelope.sender();
            // Of who handed it in here; what a probe has for a message speaks of addresses alone.
            const std::string name = draft.envelope.purpose() == handoff::PURPOSE_VERIFY_ADDRESS ? std::string() : draft.envelope.full_name();
            const auto written = options.name_in_comment ? message::commented_address : message::named_address;
            if (sender.empty())
                add("From", written("Mail Delivery System", {"MAILER-DAEMON", options.own.myorigin}, false, options.name_charset));
            else
                add("From", name.empty() ? smtp::mailbox_of(sender).quoted()
                                         : written(name, smtp::mailbox_of(sender), draft.envelope.smtputf8(), options.name_charset));
        }
        if (!draft.visible_recipient && !options.undisclosed_recipients_header.empty())
            added += options.undisclosed_recipients_header + "\r\n";
    }
    if (draft.envelope.requiretls() && options.requiretls_header && !draft.requiretls_field)
        added += handoff::requiretls_field;
    if (!draft.has_separator && options.bad_end == BadEnd::add_header)
        added += "MIME-Error: message header was not terminated by empty line\r\n";
    if (!draft.has_separator)
        added += "\r\n";                                         // what follows is no field: it would else be read as one
    if (!added.empty())
        draft.edits.insert(draft.header_size, std::move(added));
    if (draft.log.empty())
        draft.log.emplace_back("message-id=<>");
    return std::nullopt;
}

}  // namespace posthorn::cleanup
