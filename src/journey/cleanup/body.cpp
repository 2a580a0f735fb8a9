#include "cleanup/body.hpp"

#include "base/strings.hpp"
#include "cleanup/cleaner.hpp"

namespace posthorn::cleanup {

namespace {

using Kind = message::MimeStream::Item::Kind;

message::MimeStreamLimits limits_of(const Options& options, const Asked& asked)
{
    message::MimeStreamLimits limits;
    limits.depth = options.checks.nesting + 2;                   // Postfix counts so
    limits.boundary = options.checks.boundary;
    limits.field = options.header_size_limit;
    limits.line = options.checks.line_octets;
    limits.lines_to = asked.checks.body.empty() ? 0 : options.checks.body_octets;
    return limits;
}

message::MimeStream stream_of(const Draft& draft, const Options& options, const Asked& asked)
{
    const auto limits = limits_of(options, asked);
    return options.checks.mime_input ? message::MimeStream(draft.type, draft.encoding, limits)
                                     : message::MimeStream({}, message::Encoding::eight_bit, limits);
}

std::string_view line_end_of(std::string_view text)
{
    return text.ends_with("\r\n") ? text.substr(text.size() - 2) : text.ends_with('\n') ? text.substr(text.size() - 1) : std::string_view{};
}

}  // namespace

BodyCheck::BodyCheck(const Cleaner& cleaner, const Draft& draft)
    : cleaner_(cleaner), envelope_(draft.envelope), stream_(stream_of(draft, cleaner.options_, cleaner.asked_))
{
    findings_.hold = draft.findings.hold;
    findings_.off = draft.findings.off;
    if (draft.claimed)
        converter_.emplace(draft.type, *draft.claimed, limits_of(cleaner.options_, cleaner.asked_));
    envelope_.clear_recipients();
    envelope_.add_recipients()->set_address(draft.last_recipient);
}

bool BodyCheck::wanted(const Draft& draft, const Options& options, const Asked& asked)
{
    if (draft.claimed)
        return true;
    if (draft.findings.off)
        return false;
    const CheckOptions& checks = options.checks;
    if (!asked.checks.body.empty() || !checks.rejected.empty() || !checks.stripped.empty() || (checks.strict_body && checks.mime_input))
        return true;
    const bool into_parts =
        !asked.checks.mime.empty() || !asked.checks.nested.empty() || checks.count_nesting || checks.strict_headers || checks.strict_domain;
    if (!into_parts || !checks.mime_input)
        return false;
    const message::MimeStream stream = stream_of(draft, options, asked);
    return !stream.plain() || stream.too_deep() || stream.bad_encoding_domain();
}

const tables::Maps& BodyCheck::maps_for(const Item& item) const
{
    const CheckMaps& maps = cleaner_.asked_.checks;
    if (item.kind == Kind::line)
        return maps.body;
    const std::string_view name = item.text.substr(0, item.text.find_first_of(": \t"));
    return item.place == message::MimeStream::Place::nested && !is_mime_field(name) ? maps.nested : maps.mime;
}

void BodyCheck::strict(const Item& item)
{
    const CheckOptions& checks = cleaner_.options_.checks;
    if (!checks.mime_input)
        return;
    const auto refuse = [&](std::string_view error) {
        refuse_mime(error, item.text.substr(0, item.text.find_first_of("\r\n")), envelope_, findings_);
    };
    if (stream_.too_deep())
        refuse_mime(mime_too_deep, check_text(stream_.too_deep_at(), 100), envelope_, findings_);
    else if (checks.strict_domain && stream_.bad_encoding_domain())
        refuse_mime(mime_bad_domain,
                    stream_.bad_encoding() == message::Encoding::base64             ? "base64"
                    : stream_.bad_encoding() == message::Encoding::quoted_printable ? "quoted-printable"
                                                                                    : "",
                    envelope_, findings_);
    else if (checks.strict_headers && item.kind == Kind::field && !envelope_.smtputf8() && message::has_8bit(item.text))
        refuse(mime_8bit_header);
    else if (checks.strict_body && item.kind != Kind::field && item.encoding == message::Encoding::seven_bit && message::has_8bit(item.text))
        refuse(mime_8bit_body);
}

awaitable<void> BodyCheck::check(Item item, std::string* out)
{
    swallow_ = swallow_ && item.continues;
    if (swallow_)
        co_return;
    if (!findings_.off)
        strict(item);
    if (findings_.off || (item.kind != Kind::field && item.kind != Kind::line)) {
        *out += item.text;
        co_return;
    }
    const tables::Maps& maps = maps_for(item);
    const bool field = item.kind == Kind::field;
    const std::string_view end = line_end_of(item.text);
    std::string text =
        field ? check_text(item.text, cleaner_.options_.header_size_limit) : std::string(item.text.substr(0, item.text.size() - end.size()));
    if (maps.empty() || text.empty()) {                          // empty lines never match
        *out += item.text;
        co_return;
    }
    const auto found = maps.in_memory() ? maps.find_now(text) : co_await maps.lookup(text);
    if (!found) {
        refuse_failed(maps, findings_);
        co_return;
    }
    LineEnd done;
    if (const auto& action = *found)
        done = do_action(field ? "header" : "body", text, *action, maps, envelope_, findings_);
    if (!done.text.empty())
        *out += done.text + (done.kept ? "\r\n" : std::string(end));
    if (done.kept)
        *out += item.text;
    else
        swallow_ = field && item.to_be_continued;
}

awaitable<std::expected<std::string, Refusal>> BodyCheck::clean(std::string octets, bool last)
{
    if (converter_)
        octets = converter_->convert(octets, last);
    std::string out;
    out.reserve(octets.size());
    const CheckOptions& checks = cleaner_.options_.checks;
    if (!checks.rejected.empty()) {
        refuse_characters(line_, octets, checks, cleaner_.asked_.checks.body, envelope_, findings_);
        const std::size_t newline = octets.rfind('\n');
        line_ = newline == octets.npos ? line_.substr(0, 100) + octets.substr(0, 100) : octets.substr(newline + 1, 100);
    }
    if (!checks.stripped.empty()) {
        if (std::exchange(half_line_end_, false))
            octets.insert(0, 1, '\r');
        if (!last && octets.ends_with('\r')) {
            octets.pop_back();
            half_line_end_ = true;                               // whether it is one, the next piece says
        }
        octets = stripped(octets, checks.stripped);
    }
    stream_.add(octets);
    if (last)
        stream_.end();
    while (const auto item = stream_.next())
        co_await check(*item, &out);
    cleaner_.log_findings(envelope_.queue_id(), findings_);
    if (findings_.refusal)
        co_return std::unexpected(*findings_.refusal);
    co_return out;
}

awaitable<std::expected<handoff::Envelope, Refusal>> BodyCheck::conclude(handoff::Envelope envelope)
{
    note_findings(envelope, findings_, cleaner_.options_);
    if (findings_.bcc.empty())
        co_return envelope;
    handoff::Envelope copies = envelope;                         // rewritten as any recipient is
    copies.clear_recipients();
    for (const std::string& address : findings_.bcc) {
        handoff::Recipient& copy = *copies.add_recipients();
        copy.set_address(address);
        copy.set_notify(handoff::NOTIFY_NEVER);
    }
    auto rewritten = co_await cleaner_.rewritten(std::move(copies));
    if (!rewritten)
        co_return std::unexpected(std::move(rewritten).error());
    for (const handoff::Recipient& copy : rewritten->recipients()) {
        if (std::ranges::any_of(envelope.recipients(),
                                [&](const auto& there) { return iequals(there.address(), copy.address()) && there.notify() == copy.notify(); }))
            continue;
        handoff::Recipient& recipient = *envelope.add_recipients();
        recipient = copy;
        recipient.set_index(static_cast<std::uint32_t>(envelope.recipients_size()) - 1);
    }
    co_return envelope;
}

}  // namespace posthorn::cleanup
