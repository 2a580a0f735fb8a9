#include "cleanup/chain.hpp"

#include "base/strings.hpp"

namespace posthorn::cleanup {

namespace {

std::string_view class_of(const handoff::Envelope& envelope)
{
    switch (envelope.purpose()) {
    case handoff::PURPOSE_NOTIFICATION: return "bounce";
    case handoff::PURPOSE_VERIFY_ADDRESS: return "verify";
    default: return envelope.client().address().empty() ? "sendmail" : envelope.client().protocol() == handoff::qmqp_protocol ? "qmqpd" : "smtpd";
    }
}

}  // namespace

/// SMTPUTF8 is asked of the next host only where something needs it, and the client asked for it or may leave it to us.
Step detect_utf8(Draft& draft, const Options& options)
{
    const auto& envelope = draft.envelope;
    const bool may = options.smtputf8 && (envelope.smtputf8() || std::ranges::any_of(options.smtputf8_autodetect, [&](const std::string& word) {
                                              return word == "all" || word == class_of(envelope);
                                          }));
    const std::string_view header = std::string_view(draft.head).substr(0, draft.header_size);
    const bool needed = may && ((message::header_has_8bit(header) && is_valid_utf8(header)) || !is_ascii(envelope.sender()) ||
                                std::ranges::any_of(envelope.recipients(), [](const auto& recipient) { return !is_ascii(recipient.address()); }));
    draft.envelope.set_smtputf8(needed);
    return std::nullopt;
}

}  // namespace posthorn::cleanup
