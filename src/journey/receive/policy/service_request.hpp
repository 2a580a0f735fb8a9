// policy/service_request.hpp: what a policy server is told of a session, as text.                   SMTPD_POLICY_README
// Shape    "name=value" lines in the order of Postfix 3.11, then an empty line. What is not known is said as an empty value, or 0.
//          Octets that would end a line or a text become "?".
#pragma once

#include "receive/outside.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::receive::policy {

struct Facts;

/// What Facts do not say: gathered when somebody asks.
struct SessionFacts {
    std::string_view state = "CONNECT";           // the command in hand: CONNECT EHLO HELO MAIL RCPT DATA END-OF-MESSAGE VRFY ETRN
    bool esmtp = false;
    bool stress = false;
    std::uint16_t client_port = 0, server_port = 0;
    std::string server_address;
    std::string queue_id;
    std::string instance;                         // the same for all requests about one transaction, and for no other
    std::uint64_t size = 0;                       // as MAIL said it; from the end of content on, what was received
    std::string sasl_method, sasl_username, sasl_sender;
    std::string encryption_protocol, encryption_cipher;
    int encryption_keysize = 0;
    ClientCertificate certificate;
    std::string compatibility_level, mail_version;
};

std::string request_text(const Facts& facts, const SessionFacts& session, std::string_view context);

}  // namespace posthorn::receive::policy
