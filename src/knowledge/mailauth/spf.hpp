// mailauth/spf.hpp: may this client send mail of that domain?                                             RFC 7208, 8601 2.7.2, 8616 4
// Result   none, neutral, pass, fail, softfail, temperror, permerror; `reason` says what of the record was wrong.
// Property smtp.mailfrom as the client said it; smtp.helo where the reverse path is empty, and the sender postmaster at that name.
// Bounds   ten terms that ask the DNS, two of them for nothing; ten hosts of an MX, ten names of an address (RFC 7208 4.6.4).
#pragma once

#include "base/clock.hpp"
#include "mailauth/finding.hpp"
#include "net/address.hpp"

#include <string>

namespace posthorn::mailauth {

struct SpfRequest {
    SpfRequest(net::IpAddress client, std::string mail_from, std::string helo, std::string receiver, WallTime now);

    net::IpAddress client;
    std::string mail_from;                          // without brackets, empty for <>
    std::string helo;
    std::string receiver;                           // who checks: myhostname
    WallTime now;
};

struct SpfFinding : Finding {
    /// Why it is a fail, in words that the domain published: printable ASCII; empty where it published none.
    std::string explanation;
    /// Whose words those are, and whose record was evaluated first: an A-label name, or empty.
    std::string domain;
};

awaitable<SpfFinding> check_spf(SpfRequest request, Ask ask);

}  // namespace posthorn::mailauth
