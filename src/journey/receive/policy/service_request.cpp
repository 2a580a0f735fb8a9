#include "receive/policy/service_request.hpp"

#include "receive/policy/judge.hpp"
#include "smtp/xtext.hpp"

#include <fmt/format.h>

#include <iterator>

namespace posthorn::receive::policy {

std::string request_text(const Facts& facts, const SessionFacts& session, std::string_view context)
{
    std::string text;
    const auto add = [&](std::string_view name, std::string_view value) {
        text += name;
        text += '=';
        for (const char c : value)
            text += c == '\n' || c == '\r' || c == '\0' ? '?' : c;
        text += '\n';
    };
    const auto number = [&](std::string_view name, std::uint64_t value) { fmt::format_to(std::back_inserter(text), "{}={}\n", name, value); };
    const std::string_view state = session.state == "BDAT" ? "DATA" : session.state;
    add("request", "smtpd_access_policy");
    add("protocol_state", state);
    add("protocol_name", session.esmtp ? "ESMTP" : "SMTP");
    add("client_address", facts.client_address);
    add("client_name", facts.client_name);
    number("client_port", session.client_port);
    add("reverse_client_name", facts.client_reverse_name);
    add("server_address", session.server_address);
    number("server_port", session.server_port);
    add("helo_name", facts.helo.value_or(""));
    add("sender", facts.sender.value_or(""));
    add("recipient", facts.recipient.value_or(""));
    number("recipient_count", state == "DATA" || state == "END-OF-MESSAGE" ? facts.recipients : 0);
    add("queue_id", session.queue_id);
    add("instance", session.instance);
    number("size", session.size);
    add("etrn_domain", facts.etrn_domain);
    add("stress", session.stress ? "yes" : "");
    add("sasl_method", session.sasl_method);
    add("sasl_username", session.sasl_username);
    add("sasl_sender", session.sasl_sender);
    add("ccert_subject", smtp::xtext_encode(session.certificate.subject));
    add("ccert_issuer", smtp::xtext_encode(session.certificate.issuer));
    add("ccert_fingerprint", session.certificate.fingerprint);
    add("ccert_pubkey_fingerprint", session.certificate.key_fingerprint);
    add("encryption_protocol", session.encryption_protocol);
    add("encryption_cipher", session.encryption_cipher);
    number("encryption_keysize", static_cast<std::uint64_t>(session.encryption_keysize));
    add("policy_context", context);
    add("compatibility_level", session.compatibility_level);
    add("mail_version", session.mail_version);
    text += '\n';
    return text;
}

}  // namespace posthorn::receive::policy
