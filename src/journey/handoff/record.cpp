#include "handoff/record.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "handoff/reasons.hpp"
#include "message/encoded_word.hpp"
#include "message/header.hpp"
#include "observe/recorder.hpp"
#include "smtp/path.hpp"
#include "smtp/reply.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <concepts>

namespace posthorn::handoff {

namespace {

constexpr std::size_t longest_text = 8192, header_text = 2048, headers_together = 16 * 1024, recipients_together = 24 * 1024;

/// Never amid a character of UTF-8.
std::string_view shortened(std::string_view text, std::size_t most)
{
    if (text.size() <= most)
        return text;
    for (int back = 0; back < 3 && most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80; ++back)
        --most;
    return text.substr(0, most);
}

/// Members of an object, in their order. Texts are at most `most` octets, before they are escaped.
class Members {
public:
    explicit Members(std::size_t most = longest_text) : most_(most) { out_.reserve(1024); }
    void raw(std::string_view name, std::string_view value) { start(name).append(value); }
#ifdef POSTHORN_PLANT_BUG_record  // texts are not escaped (scripts/fuzz-planted)
    void text(std::string_view name, std::string_view value) { raw(name, fmt::format("\"{}\"", shortened(value, most_))); }
#else
    void text(std::string_view name, std::string_view value) { raw(name, json_text(shortened(value, most_))); }
#endif
    void text_or_null(std::string_view name, std::string_view value)
    {
        if (value.empty())
            raw(name, "null");
        else
            text(name, value);
    }
    /// Left out where there is none.
    void text_if(std::string_view name, std::string_view value)
    {
        if (!value.empty())
            text(name, value);
    }
    template <std::integral Number>
    void number(std::string_view name, Number value)
    {
        raw(name, fmt::format_int(value).c_str());
    }
    std::string take()
    {
        out_ += out_.empty() ? "{}" : "}";
        return std::move(out_);
    }

private:
    std::string& start(std::string_view name) { return out_.append(out_.empty() ? "{\"" : ",\"").append(name).append("\":"); }

    std::size_t most_;
    std::string out_;
};

/// Shorter texts, until it fits.
template <class Compose>
std::string fitted(Compose compose)
{
    std::string made;
    for (std::size_t most = longest_text; most >= 128; most /= 4) {      // names and ids of ours are shorter
        made = compose(most);
        if (made.size() <= observe::record_octets)
            break;
    }
    return made;
}

std::int64_t whole_seconds(std::int64_t microseconds) { return microseconds / 1'000'000; }

std::string rfc3339(std::int64_t microseconds)
{
    using namespace std::chrono;
    const sys_time<std::chrono::microseconds> when{std::chrono::microseconds{std::max<std::int64_t>(0, microseconds)}};
    const auto day = floor<days>(when);
    const year_month_day date(day);
    const hh_mm_ss time(when - day);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                       static_cast<unsigned>(date.day()), time.hours().count(), time.minutes().count(), time.seconds().count(),
                       time.subseconds().count());
}

struct Response {
    unsigned code = 0;
    std::string_view enhanced, content, command;
};

bool is_code(std::string_view text)
{
    return text.size() >= 3 && std::ranges::all_of(text.substr(0, 3), is_digit) && text[0] >= '2' && text[0] <= '5';
}

/// "550 5.1.1 no", "550-5.1.1 no"; false: it is no reply.
bool read_reply(std::string_view text, Response& response)
{
    if (!is_code(text) || (text.size() > 3 && text[3] != ' ' && text[3] != '-'))
        return false;
    response.code = static_cast<unsigned>((text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0'));
    text.remove_prefix(std::min<std::size_t>(4, text.size()));
    response.enhanced = smtp::enhanced_code(text);
    text.remove_prefix(response.enhanced.size());
    response.content = trim(text);
    return true;
}

/// In the words of KumoMTA: the end of the content is ".".
std::string_view command_of(std::string_view name)
{
    if (name == "end of DATA" || name == "END-OF-MESSAGE")
        return ".";
    return name == "MAIL" ? "MAIL FROM" : name == "RCPT" ? "RCPT TO" : name;
}

/// The command whose reply was a failure: a verdict's own words, "... (in reply to RCPT TO command)".
std::string_view command_in(std::string_view text)
{
    constexpr std::string_view before = "(in reply to ", behind = " command)";
    const auto at = text.rfind(before);
    if (at == text.npos || !text.ends_with(behind) || text.size() - behind.size() < at + before.size())
        return {};
    const std::string_view name = text.substr(at + before.size(), text.size() - behind.size() - at - before.size());
    return name.find(')') == name.npos ? command_of(name) : std::string_view();
}

/// A verdict without a reply was made here: its code is that of its status' class.
Response response_of(const Verdict& verdict)
{
    Response response;
    if (read_reply(verdict.diagnostic(), response)) {
        response.command = verdict.outcome() == OUTCOME_DELIVERED ? "." : command_in(verdict.text());
        return response;
    }
    const std::string_view status = verdict.status();
    response.code = status.starts_with('2') ? 250 : status.starts_with('4') ? 451 : 550;
    response.enhanced = smtp::enhanced_code(status);
    response.content = verdict.text();
    return response;
}

std::string json_response(const Response& response, std::size_t most)
{
    Members members(most);
    members.number("code", response.code);
    const auto parts = split_exact(response.enhanced, '.');
    const auto is_number = [](std::string_view text) { return !text.empty() && text.size() <= 3 && std::ranges::all_of(text, is_digit); };
    if (parts.size() == 3 && std::ranges::all_of(parts, is_number)) {
        Members code;
        constexpr std::array<std::string_view, 3> names{"class", "subject", "detail"};
        for (std::size_t at = 0; at < names.size(); ++at) {
            unsigned value = 0;
            for (const char digit : parts[at])
                value = value * 10 + static_cast<unsigned>(digit - '0');
            code.number(names[at], value);
        }
        members.raw("enhanced_code", code.take());
    } else {
        members.raw("enhanced_code", "null");
    }
    members.text("content", response.content);
    members.text_or_null("command", response.command);
    return members.take();
}

std::string json_peer(std::string_view name, std::string_view address)
{
    if (address.empty())
        return "null";
    Members members;
    members.text("name", name);
    members.text("addr", address);
    return members.take();
}

std::string json_source(const SessionFacts* session)
{
    if (!session || session->source().empty())
        return "null";
    Members members;
    members.text("address", session->source());
    return members.take();
}

std::string domain_of(std::string_view address)
{
    const auto at = address.rfind('@');
    return at == address.npos ? std::string() : to_lower(address.substr(at + 1));
}

/// What all records begin with.
struct Head {
    RecordType type;
    std::string_view id, sender;
    std::string recipient;                 // JSON
    std::string_view queue, site;
    std::uint64_t size = 0;
};
void add_head(Members& members, const Head& head)
{
    members.text("type", record_type_names[static_cast<std::size_t>(head.type)]);
    members.text("id", head.id);
    members.text("sender", smtp::external_address(head.sender));
    members.raw("recipient", head.recipient);
    members.text("queue", head.queue);
    members.text("site", head.site);
    members.number("size", head.size);
}

struct Middle {
    std::int64_t now = 0, created = 0;
    std::uint32_t attempts = 0;
    std::string_view classification = "Uncategorized";
    std::string source = "null";
    std::string_view pool, transport;
    std::string_view headers;
    std::string_view delivery_protocol, reception_protocol;
};
void add_middle(Members& members, const Middle& middle, const RecordOptions& options)
{
    members.number("timestamp", whole_seconds(middle.now));
    members.number("created", whole_seconds(middle.created));
    members.raw("event_time", fmt::format("\"{}\"", rfc3339(middle.now)));
    members.number("num_attempts", middle.attempts);
    members.text("bounce_classification", middle.classification);
    members.text_or_null("egress_pool", middle.pool);
    members.text_or_null("egress_source", middle.pool.empty() ? std::string_view() : middle.transport);
    members.raw("source_address", middle.source);
    members.raw("feedback_report", "null");
    members.raw("meta", "{}");
    members.raw("headers", middle.headers.empty() ? "{}" : middle.headers);
    members.text_or_null("delivery_protocol", middle.delivery_protocol);
    members.text_or_null("reception_protocol", middle.reception_protocol);
    members.text("nodeid", options.node);
}

/// Before the queue manager, in it, connection set-up, transmission: as in the log's delays=.
std::string json_delays(const RecipientFate& fate)
{
    const Verdict& verdict = fate.verdict;
    const std::int64_t end = verdict.finished();
    const std::int64_t active = fate.active > 0 ? fate.active : end;
    const std::int64_t connected = verdict.connected() > 0 ? verdict.connected() : end;
    const std::int64_t connecting = fate.session && fate.session->connecting() > 0 ? fate.session->connecting() : connected;
    const auto seconds = [](std::int64_t microseconds) { return static_cast<double>(std::max<std::int64_t>(0, microseconds)) / 1e6; };
    return fmt::format("[{:.6f},{:.6f},{:.6f},{:.6f}]", seconds(active - fate.envelope.arrival()), seconds(connecting - active),
                       seconds(connected - connecting), seconds(end - connected));
}

void add_session(Members& members, const SessionFacts* session)
{
    if (!session)
        return;
    members.text_if("tls_cipher", session->tls_cipher());
    members.text_if("tls_protocol_version", session->tls_protocol());
    if (!session->tls_peer().empty())
        members.raw("tls_peer_subject_name",
                    fmt::format("[{}]", json_text(shortened(fmt::format("CN={}", std::string_view(session->tls_peer())), header_text))));
}

/// What a table says of the reply; else by the status.
std::string_view classification_of(const Verdict& verdict, bool delivered, std::string_view reason)
{
    if (delivered)
        return "Uncategorized";
    return verdict.classification().empty() ? bounce_class(reason) : std::string_view(verdict.classification());
}

std::string compose(const RecipientFate& fate, const RecordOptions& options, std::size_t most)
{
    const Verdict& verdict = fate.verdict;
    const bool delivered = fate.type == RecordType::delivery;
    const std::string_view reason = delivered ? std::string_view() : reason_of(verdict);
    Members members(most);
    const std::string queue = domain_of(fate.recipient.address());
    add_head(members, {.type = fate.type,
                       .id = fate.envelope.queue_id(),
                       .sender = fate.envelope.sender(),
                       .recipient = json_text(shortened(smtp::external_address(fate.recipient.address()), most)),
                       .queue = queue,
                       .site = fate.route ? std::string_view(fate.route->site()) : std::string_view(),
                       .size = fate.envelope.size()});
    members.raw("response", json_response(response_of(verdict), most));
    std::string_view name, address;
    members.raw("peer_address", relay_parts(verdict.relay(), name, address) ? json_peer(name, address) : "null");
    add_middle(members,
               {.now = verdict.finished(),
                .created = fate.envelope.arrival(),
                .attempts = fate.attempts,
                .classification = classification_of(verdict, delivered, reason),
                .source = json_source(fate.session),
                .pool = fate.route ? std::string_view(fate.route->pool()) : std::string_view(),
                .transport = fate.route ? std::string_view(fate.route->transport()) : std::string_view(),
                .headers = most == longest_text ? fate.headers : std::string_view(),
                .delivery_protocol = fate.session ? std::string_view(fate.session->protocol()) : std::string_view(),
                .reception_protocol = fate.envelope.client().protocol()},
               options);
    add_session(members, fate.session);
    members.text_if("transport", fate.route ? std::string_view(fate.route->transport()) : std::string_view());
    members.text("relay", verdict.relay().empty() ? std::string_view("none") : std::string_view(verdict.relay()));
    members.raw("delays", json_delays(fate));
    members.text("dsn", verdict.status());
    members.text_if("reason", reason);
    if (fate.next_attempt != 0)
        members.number("next_attempt", whole_seconds(fate.next_attempt));
    if (!fate.recipient.original().empty() && fate.recipient.original() != fate.recipient.address())
        members.text("orig_recipient", smtp::external_address(fate.recipient.original()));
    members.text_if("message_id", fate.envelope.message_id());
    return members.take();
}

/// Of a message as a whole. `moved`: null where it is new.
std::string compose_whole(const Envelope& envelope, const Moved* moved, std::string recipients, std::string_view queue, std::string_view headers,
                          const RecordOptions& options, std::int64_t now, std::size_t most)
{
    const Client& client = envelope.client();
    Members members(most);
    add_head(members, {.type = moved ? moved->type : RecordType::reception,
                       .id = envelope.queue_id(),
                       .sender = envelope.sender(),
                       .recipient = std::move(recipients),
                       .queue = queue,
                       .site = {},
                       .size = envelope.size()});
    const std::string said =
        moved ? fmt::format("{} {} as {}", moved->type == RecordType::xfer_out ? "handed over to" : "taken over from", moved->host, moved->queue_id)
              : std::string();
    members.raw("response", json_response({.code = 250, .enhanced = {}, .content = said, .command = {}}, most));
    members.raw("peer_address", moved ? "null" : json_peer(client.helo(), client.address()));
    add_middle(members,
               {.now = now,
                .created = envelope.arrival(),
                .headers = most == longest_text ? headers : std::string_view(),
                .delivery_protocol = {},
                .reception_protocol = client.protocol()},
               options);
    members.text_if("client_name", client.address().empty() ? std::string_view() : std::string_view(client.name()));
    members.text_if("sasl_username", client.sasl_username());
    members.text_if("message_id", envelope.message_id());
    members.text_if("notification_of", envelope.bounce_to());
    if (moved) {
        members.text("moved_host", moved->host);
        members.text("moved_id", moved->queue_id);
    }
    return members.take();
}

std::vector<std::string> records_of_whole(const Envelope& envelope, const Moved* moved, std::string_view headers, const RecordOptions& options,
                                          std::int64_t now)
{
    std::vector<std::string> records;
    for (int at = 0; at < envelope.recipients_size();) {
        const int first = at;
        std::string list;
        for (; at < envelope.recipients_size() && list.size() <= recipients_together; ++at)
            list.append(list.empty() ? "" : ",").append(json_text(shortened(smtp::external_address(envelope.recipients(at).address()), header_text)));
        if (at - first > 1)
            list = "[" + list + "]";
        const std::string queue = domain_of(envelope.recipients(first).address());
        records.push_back(fitted([&](std::size_t most) { return compose_whole(envelope, moved, list, queue, headers, options, now, most); }));
    }
    return records;
}

}  // namespace

std::optional<RecordType> record_type(std::string_view name)
{
    for (std::size_t at = 0; at < record_type_names.size(); ++at)
        if (iequals(record_type_names[at], name))
            return static_cast<RecordType>(at);
    return std::nullopt;
}

std::string chosen_headers(std::string_view content, std::span<const std::string> names)
{
    if (names.empty())
        return {};
    std::vector<std::vector<std::string>> found(names.size());
    std::size_t octets = 0;
    message::HeaderWalk walk(content);
    while (const auto field = walk.next()) {
        const auto name = std::ranges::find_if(names, [&](const std::string& one) { return field->is(one); });
        if (name == names.end())
            continue;
        const std::string decoded = message::decode_words(message::unfold(field->body));
        std::string text = json_text(shortened(decoded, header_text));
        if ((octets += text.size() + name->size()) <= headers_together)
            found[static_cast<std::size_t>(name - names.begin())].push_back(std::move(text));
    }
    Members members;
    for (std::size_t at = 0; at < names.size(); ++at)
        if (found[at].size() == 1)
            members.raw(names[at], found[at].front());
        else if (!found[at].empty())
            members.raw(names[at], fmt::format("[{}]", fmt::join(found[at], ",")));
    return members.take();
}

std::vector<std::string> reception_records(const Envelope& envelope, std::string_view headers, const RecordOptions& options, std::int64_t now)
{
    return records_of_whole(envelope, nullptr, headers, options, now);
}

std::vector<std::string> moving_records(const Envelope& envelope, const Moved& moved, std::string_view headers, const RecordOptions& options,
                                        std::int64_t now)
{
    return records_of_whole(envelope, &moved, headers, options, now);
}

std::string fate_record(const RecipientFate& fate, const RecordOptions& options)
{
    return fitted([&](std::size_t most) { return compose(fate, options, most); });
}

std::string rejection_record(const Rejected& rejected, const RecordOptions& options, std::int64_t now)
{
    Response response;
    if (!read_reply(rejected.reply, response))
        response.content = rejected.reply;
    response.command = command_of(rejected.command);
    const std::string status = response.enhanced.empty() ? fmt::format("{}.0.0", response.code / 100) : std::string(response.enhanced);
    const std::string queue = domain_of(rejected.recipient.value_or(""));
    return fitted([&](std::size_t most) {
        Members members(most);
        add_head(members, {.type = RecordType::rejection,
                           .id = rejected.queue_id,
                           .sender = rejected.sender.value_or(""),
                           .recipient = json_text(shortened(smtp::external_address(rejected.recipient.value_or("")), most)),
                           .queue = queue,
                           .site = {}});
        members.raw("response", json_response(response, most));
        members.raw("peer_address", json_peer(shortened(rejected.helo, most), rejected.client_address));
        add_middle(members, {.now = now, .created = now, .headers = {}, .delivery_protocol = {}, .reception_protocol = rejected.protocol}, options);
        members.text_if("client_name", rejected.client_name);
        members.text_if("sasl_username", rejected.sasl_username);
        members.text("dsn", status);
        members.text("reason", reason_of(status));
        members.text("by", rejected.by);
        return members.take();
    });
}

std::string_view bounce_class(std::string_view reason)
{
    struct Class {
        std::string_view reason, name;
    };
    static constexpr Class classes[] = {
        {"bad-address", "InvalidRecipient"},
        {"unknown-user", "InvalidRecipient"},
        {"unknown-domain", "BadDomain"},
        {"no-mail-taken", "BadDomain"},
        {"bad-sender", "InvalidSender"},
        {"mailbox-disabled", "InactiveMailbox"},
        {"mailbox-full", "QuotaIssues"},
        {"too-large", "QuotaIssues"},
        {"system-full", "QuotaIssues"},
        {"no-answer", "NoAnswerFromHost"},
        {"bad-connection", "BadConnection"},
        {"name-service", "DNSFailure"},
        {"no-route", "RoutingErrors"},
        {"loop", "RoutingErrors"},
        {"delivery-expired", "MessageExpired"},
        {"protocol", "ProtocolErrors"},
        {"syntax", "ProtocolErrors"},
        {"too-many-recipients", "ProtocolErrors"},
        {"content", "ContentRelated"},
        {"conversion", "ContentRelated"},
        {"policy", "PolicyRelated"},
        {"not-authorized", "PolicyRelated"},
        {"authentication", "AuthenticationFailed"},
        {"greylisted", "TransientFailure"},
    };
    const auto found = std::ranges::find(classes, reason, &Class::reason);
    return found == std::end(classes) ? "Uncategorized" : found->name;
}

std::string classification_key(const Verdict& verdict)
{
    const std::string& reply = verdict.diagnostic();
    std::string key = reply.empty() ? fmt::format("{} {} {}", verdict.status().starts_with('5') ? 550 : 451, verdict.status(), verdict.text())
                                    : printable(reply, true);
    if (key.size() > 3 && key[3] == '-')  // of several lines, with their codes
        key[3] = ' ';
    return key;
}

bool relay_parts(std::string_view relay, std::string_view& name, std::string_view& address)
{
    const auto open = relay.find('['), close = relay.find(']', open == relay.npos ? relay.size() : open);
    if (open == relay.npos || close == relay.npos || open == 0)
        return false;
    name = relay.substr(0, open);
    address = relay.substr(open + 1, close - open - 1);
    return smtp::is_ipv4(address) || smtp::is_ipv6(address);
}

}  // namespace posthorn::handoff
