#include "services/showq.hpp"

namespace posthorn::services {

namespace {

void add(std::string& text, std::string_view name, std::string_view value)
{
    text += name;
    text += '\0';
    for (const char c : value)
        text += c == '\0' ? '?' : c;
    text += '\0';
}

}  // namespace

std::string showq_greeting()
{
    std::string text;
    add(text, "protocol", "mail_queue_list_protocol");
    return text + '\0';
}

std::string showq_entry(const handoff::QueueEntry& entry)
{
    const handoff::Envelope& envelope = entry.envelope();
    std::string text;
    add(text, "queue_name", entry.queue_name());
    add(text, "queue_id", envelope.queue_id());
    add(text, "time", std::to_string(envelope.arrival() / 1'000'000));
    add(text, "size", std::to_string(envelope.size()));
    add(text, "forced_expire", entry.forced_expire() ? "1" : "0");
    add(text, "sender", envelope.sender());
    for (int at = 0; at < envelope.recipients_size(); ++at) {
        const handoff::Recipient& recipient = envelope.recipients(at);
        if (!recipient.original().empty() && recipient.original() != recipient.address())
            add(text, "original_recipient", recipient.original());
        add(text, "recipient", recipient.address());
        add(text, "reason", at < entry.reasons_size() ? std::string_view(entry.reasons(at)) : std::string_view{});
    }
    return text + '\0';
}

}  // namespace posthorn::services
