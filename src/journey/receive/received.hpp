// receive/received.hpp: the Received: field that this host adds.                                  RFC 5321 4.4, RFC 3848; Postfix's form
#pragma once

#include "base/clock.hpp"
#include "receive/outside.hpp"

#include <string>
#include <string_view>

namespace posthorn::receive {

struct ReceivedFacts {
    std::string helo;              // empty: none was given
    std::string client_name;
    std::string client_address;
    std::string tls;               // "TLSv1.3 with cipher ..."; empty: not to be told
    bool certificate_asked = false;
    std::string login;             // empty: nobody's, or not to be told
    ClientCertificate certificate; // names as the client wrote them: what could end a comment does not go into the field
    std::string myhostname, mail_name;
    std::string protocol;          // "ESMTPS"
    std::string queue_id;          // empty: it has none here (a filter before the queue)
    std::string only_recipient;    // empty: several
    bool hide_client = false;
    bool fold_before_id = false;   // where several recipients are not named, as Postfix's qmqpd does
    WallTime when{};
};

/// With CRLF line ends, the last included.
std::string received_field(const ReceivedFacts& facts);

/// RFC 5322 3.3 in Postfix's form: "Sat, 21 Nov 2026 09:28:33 +0000 (UTC)", in local time.
std::string mail_date(WallTime when);

}  // namespace posthorn::receive
