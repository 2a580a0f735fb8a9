#include "inquiry/queue_listing.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <time.h>

#include <map>
#include <vector>

namespace posthorn::inquiry {

namespace {

std::string mailq_time(std::int64_t microseconds)
{
    const time_t when = static_cast<time_t>(microseconds / 1'000'000);
    tm parts{};
    ::localtime_r(&when, &parts);
    char text[64];
    return std::string(text, ::strftime(text, sizeof text, "%a %b %e %H:%M:%S", &parts));
}

std::string sender_of(const handoff::Envelope& envelope)
{
    return envelope.sender().empty() ? "MAILER-DAEMON" : smtp::external_address(envelope.sender());
}

}  // namespace

std::string QueueText::entry(const handoff::QueueEntry& entry)
{
    const handoff::Envelope& envelope = entry.envelope();
    // Long ids have at least 11 characters; Postfix chooses the form of the whole table by the first id.
    const bool is_long = envelope.queue_id().size() > 10;
    std::string out;
    if (messages_ == 0)
        out += is_long ? fmt::format("{:<17} {:>8} {:<19} {}\n", "----Queue ID-----", "--Size--", "---Arrival Time----", "--Sender/Recipient------")
                       : fmt::format("{:<11} {:>7} {:<20} {}\n", "-Queue ID-", "--Size--", "----Arrival Time----", "-Sender/Recipient-------");
    ++messages_;
    octets_ += envelope.size();
    const char* mark = entry.queue_name() == "active" ? "*" : entry.queue_name() == "hold" ? "!" : "";
    const std::string id = envelope.queue_id() + (entry.forced_expire() ? "#" : "") + mark;
    const std::string arrival = mailq_time(envelope.arrival());
    out += is_long ? fmt::format("{:<17} {:>8} {:<19} {}\n", id, envelope.size(), arrival, printable(sender_of(envelope), true))
                   : fmt::format("{:<11} {:>7} {:<20} {}\n", id, envelope.size(), arrival, printable(sender_of(envelope), true));

    // Recipients without a reason first, then each reason above those that share it, in order of appearance.
    std::vector<std::pair<std::string, std::vector<std::string>>> groups{{"", {}}};
    for (int i = 0; i < envelope.recipients_size(); ++i) {
        const std::string reason = i < entry.reasons_size() ? entry.reasons(i) : "";
        auto group = std::ranges::find(groups, reason, &std::pair<std::string, std::vector<std::string>>::first);
        if (group == groups.end())
            group = groups.insert(groups.end(), {reason, {}});
        group->second.push_back(smtp::external_address(envelope.recipients(i).address()));
    }
    const std::size_t indent = is_long ? 47 : 41;
    for (const auto& [reason, recipients] : groups) {
        if (!reason.empty())
            out += fmt::format("{:>76}\n", "(" + printable(reason, true) + ")");
        for (const std::string& recipient : recipients)
            out += fmt::format("{:{}}{}\n", "", indent, printable(recipient, true));
    }
    return out + "\n";
}

std::string QueueText::end() const
{
    if (messages_ == 0)
        return "Mail queue is empty\n";
    const std::uint64_t kbytes = (octets_ + 1023) / 1024;
    return fmt::format("-- {} Kbytes in {} Request{}.\n", kbytes, messages_, messages_ == 1 ? "" : "s");
}

std::string queue_json(const handoff::QueueEntry& entry)
{
    const handoff::Envelope& envelope = entry.envelope();
    std::string recipients;
    for (int i = 0; i < envelope.recipients_size(); ++i) {
        const handoff::Recipient& recipient = envelope.recipients(i);
        recipients += recipients.empty() ? "{" : ", {";
        if (!recipient.original().empty() && recipient.original() != recipient.address())
            recipients += fmt::format("\"orig_address\": {}, ", json_text(smtp::external_address(recipient.original())));
        recipients += fmt::format("\"address\": {}", json_text(smtp::external_address(recipient.address())));
        if (i < entry.reasons_size() && !entry.reasons(i).empty())
            recipients += fmt::format(", \"delay_reason\": {}", json_text(entry.reasons(i)));
        recipients += "}";
    }
    std::string own;
    if (entry.next_try() > 0)
        own += fmt::format(", \"next_attempt\": {}", entry.next_try() / 1'000'000);
    own += fmt::format(", \"attempts\": {}", entry.tries());
    if (envelope.requiretls())
        own += ", \"requiretls\": true";
    return fmt::format("{{\"queue_name\": {}, \"queue_id\": {}, \"arrival_time\": {}, \"message_size\": {}, \"forced_expire\": {}, \"sender\": {}, "
                       "\"recipients\": [{}]{}}}\n",
                       json_text(entry.queue_name()), json_text(envelope.queue_id()), envelope.arrival() / 1'000'000, envelope.size(),
                       entry.forced_expire() ? "true" : "false", json_text(sender_of(envelope)), recipients, own);
}

}  // namespace posthorn::inquiry
