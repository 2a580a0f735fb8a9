// handoff/record.hpp: delivery records: what became of a message, for programs, where delivery_log.hpp's line is for people.        docs/records.md
// Shape    one JSON object in one line, its members those of KumoMTA's log records (its manual, "Log Record"), so that what reads those reads on;
//          members of ours stand behind them. What is not known is null, or not there where that schema lets it be.
// Trust    none in what peers and clients said: whatever the octets are, the result is valid JSON, valid UTF-8, without control characters, and
//          at most observe::record_octets: texts are shortened until it is.
// Units    microseconds since the epoch come in; timestamp and created are seconds, event_time is RFC 3339.
// Pure     no clock, no configuration, nothing kept.
#pragma once

#include "handoff/frames.pb.h"

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::handoff {

enum class RecordType : std::uint8_t { reception, delivery, transient_failure, bounce, expiration, admin_bounce, rejection, xfer_out, xfer_in };
inline constexpr std::array<std::string_view, 9> record_type_names{"Reception",   "Delivery",  "TransientFailure", "Bounce", "Expiration",
                                                                   "AdminBounce", "Rejection", "XferOut",          "XferIn"};
std::optional<RecordType> record_type(std::string_view name);

/// What is recorded. By default nothing.
struct RecordOptions {
    std::bitset<record_type_names.size()> types;
    std::vector<std::string> headers;      // names of fields whose texts are in each record
    std::string node;                      // nodeid: a UUID, the same for the life of an instance
    bool wants(RecordType type) const { return types.test(static_cast<std::size_t>(type)); }
};

/// The fields of these names in a message, as a JSON object: unfolded, encoded words decoded; an array of texts where there are several. Texts are
/// shortened, and left out beyond 16 KiB. Empty: none was asked for.
std::string chosen_headers(std::string_view content, std::span<const std::string> names);

/// A message is in the queue. Its recipients are one text where there is one, else an array; beyond 24 KiB of them there is another record.
/// `headers`: of chosen_headers().
std::vector<std::string> reception_records(const Envelope& envelope, std::string_view headers, const RecordOptions& options, std::int64_t now);

/// A message has gone to another queue (xfer_out), or come from one (xfer_in): at this host, under this id. Its recipients as above.
struct Moved {
    RecordType type;
    std::string_view host, queue_id;
};
std::vector<std::string> moving_records(const Envelope& envelope, const Moved& moved, std::string_view headers, const RecordOptions& options,
                                        std::int64_t now);

/// What became of one recipient, for now or for good. Views: they stay until it is composed.
struct RecipientFate {
    RecordType type;
    const Envelope& envelope;              // without recipients
    const Recipient& recipient;
    const Verdict& verdict;
    const Route* route = nullptr;          // none: it was not routed
    const SessionFacts* session = nullptr; // none: there was no session, or nothing is known of it
    std::int64_t active = 0;               // when this round of attempts began; 0: it did not
    std::uint32_t attempts = 0;            // before this one
    std::int64_t next_attempt = 0;         // not before; 0: there is none
    std::string_view headers;
};
std::string fate_record(const RecipientFate& fate, const RecordOptions& options);

/// A command that the SMTP server refused. Texts as received.
struct Rejected {
    std::string_view command{};            // CONNECT EHLO HELO MAIL RCPT DATA END-OF-MESSAGE ...
    std::string_view reply{};              // "554 5.7.1 <a@b.test>: Relay access denied"
    std::string_view by{};                 // the restriction, as it was written, or what else refused
    std::string_view client_name{}, client_address{}, helo{}, protocol{}, sasl_username{}, queue_id{};
    std::optional<std::string_view> sender{}, recipient{};
};
std::string rejection_record(const Rejected& rejected, const RecordOptions& options, std::int64_t now);

/// What a classifier of bounces would say of it: a class that KumoMTA has, of the word of reasons.hpp; "Uncategorized".
std::string_view bounce_class(std::string_view reason);

/// What bounce_classification_maps is asked: the reply in one line, "550 5.1.1 text"; where there was none, code and status before what the log says.
std::string classification_key(const Verdict& verdict);

/// "host.example[192.0.2.1]:25" in its parts; false where it is no host: "none", "local", a socket in the file system.
bool relay_parts(std::string_view relay, std::string_view& name, std::string_view& address);

}  // namespace posthorn::handoff
