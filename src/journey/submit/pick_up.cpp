#include "submit/pick_up.hpp"

#include "base/strings.hpp"

#include <algorithm>

namespace posthorn::submit {

namespace {

/// Fit for an envelope, a log line and an SMTP command: no control characters, valid UTF-8.
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool clean(std::string_view text, std::size_t limit)
{
    return text.size() <= limit && std::ranges::none_of(text, is_control) && (is_ascii(text) || is_valid_utf8(text));
}

constexpr std::uint32_t notify_bits = handoff::NOTIFY_NEVER | handoff::NOTIFY_SUCCESS | handoff::NOTIFY_FAILURE | handoff::NOTIFY_DELAY;

}  // namespace

PickUp::PickUp(PickUpLimits limits, Submitter submitter, std::function<Result<void>(std::string_view)> content)
    : limits_(limits), submitter_(submitter), content_(std::move(content)),
      framing_(
          limits.content, [this](std::string_view octets) { return take_envelope(octets); },
          [this](std::string_view octets) { return take_content(octets); })
{
}

Result<void> PickUp::take_envelope(std::string_view octets)
{
    handoff::Envelope given;
    if (!given.ParseFromArray(octets.data(), static_cast<int>(octets.size())))
        return Error{"malformed envelope"};
    handoff::Envelope taken;
    if (!clean(given.sender(), limits_.address))
        return Error{"bad sender address"};
    taken.set_sender(given.sender());
    if (given.recipients().empty())
        return Error{"no recipients"};
    if (static_cast<std::size_t>(given.recipients_size()) > limits_.recipients)
        return Error{"too many recipients"};
    for (const handoff::Recipient& recipient : given.recipients()) {
        if (recipient.address().empty() || !clean(recipient.address(), limits_.address))
            return Error{"bad recipient address"};
        if (!clean(recipient.orcpt(), limits_.address) || (recipient.notify() & ~notify_bits) != 0 ||
            ((recipient.notify() & handoff::NOTIFY_NEVER) && recipient.notify() != handoff::NOTIFY_NEVER))
            return Error{"bad notification request"};
        handoff::Recipient& own = *taken.add_recipients();
        own.set_index(static_cast<std::uint32_t>(taken.recipients_size() - 1));
        own.set_address(recipient.address());
        own.set_orcpt(recipient.orcpt());
        own.set_notify(recipient.notify());
    }
    if (!handoff::Ret_IsValid(given.ret()) || !clean(given.envid(), 100))        // RFC 3461 4.4: at most 100 characters
        return Error{"bad envelope id"};
    taken.set_ret(given.ret());
    taken.set_envid(given.envid());
    if (!given.verp().empty() && (!clean(given.verp(), 2) || given.verp().size() != 2 || taken.sender().empty()))
        return Error{"bad delimiters of return paths"};
    taken.set_verp(given.verp());
    if (given.body() != handoff::BODY_7BIT && given.body() != handoff::BODY_8BIT)
        return Error{"bad body type"};
    taken.set_body(given.body());
    if (given.full_name().size() > 1024 || std::ranges::any_of(given.full_name(), is_control))          // in full_name_encoding_charset
        return Error{"bad full name"};
    taken.set_full_name(given.full_name());
    switch (given.purpose()) {
    case handoff::PURPOSE_MAIL:
    case handoff::PURPOSE_VERIFY_ADDRESS:
    case handoff::PURPOSE_RECORD_DELIVERY: taken.set_purpose(given.purpose()); break;
    default: return Error{"bad purpose"};
    }
    taken.set_smtputf8(given.smtputf8());
    taken.set_requiretls(given.requiretls());
    if (given.has_release()) {
        const handoff::Release& release = given.release();
        const WallTime latest = submitter_.arrival + limits_.hold;
        if (release.not_before() <= 0 || release.not_before() > latest.time_since_epoch().count() || release.request().empty() ||
            !clean(release.request(), 40))
            return Error{"bad time to be held until"};
        taken.mutable_release()->set_not_before(release.not_before());
        taken.mutable_release()->set_request(release.request());
    }
    taken.set_submitter(submitter_.uid);
    taken.set_arrival(submitter_.arrival.time_since_epoch().count());
    envelope_ = std::move(taken);
    return {};
}

Result<void> PickUp::take_content(std::string_view octets)
{
    std::string fixed;                                             // only where something is to be mended
    std::size_t from = 0;
    for (std::size_t at = octets.find('\n'); at != octets.npos; at = octets.find('\n', at + 1)) {
#ifdef POSTHORN_PLANT_BUG_maildrop  // a line end that begins in one piece and ends in the next is doubled (scripts/fuzz-planted)
        const bool cr = at > 0 && octets[at - 1] == '\r';
#else
        const bool cr = at > 0 ? octets[at - 1] == '\r' : after_cr_;
#endif
        if (cr)
            continue;
        fixed.append(octets, from, at - from).append("\r\n");
        from = at + 1;
    }
    after_cr_ = octets.ends_with('\r');
    line_open_ = !octets.ends_with('\n');
    const std::string_view out = from == 0 ? octets : fixed.append(octets.substr(from));
    size_ += out.size();
    return content_(out);
}

Result<handoff::Envelope> PickUp::finish()
{
    TRY_VOID(framing_.finish());
    if (!envelope_)                                                // the framing does not end without one
        return Error{"no recipients"};
    if (line_open_) {
        const std::string_view end = after_cr_ ? "\n" : "\r\n";
        size_ += end.size();
        TRY_VOID(content_(end));
    }
    envelope_->set_size(size_);
    return *std::move(envelope_);
}

}  // namespace posthorn::submit
