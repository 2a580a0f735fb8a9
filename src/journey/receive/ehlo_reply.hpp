// receive/ehlo_reply.hpp: the reply to EHLO.                                                      RFC 5321 4.1.1.1, 9422, Postfix's order
#pragma once

#include "receive/options.hpp"

#include <string>

namespace posthorn::receive {

/// What depends on the session.
struct Offered {
    bool starttls = false;              // it may be used now
    bool requiretls = false;            // TLS is in force, and mail may require it on all its way
    std::string auth;                   // mechanisms, by blanks; empty: AUTH is not offered
    bool pipe_connect = false;          // this client need not wait for the greeting
    bool verp = false;                  // this client may ask for a return path for each recipient
    std::string future_release;         // the two numbers of RFC 4865 3; empty: it is not offered
    bool xclient = false, xforward = false;
};

/// All lines with CRLF. `discarded` are not announced. LIMITS only where the configuration limits more than clients may expect: mail programs
/// of today know nothing of it.
std::string ehlo_reply(const Options& options, smtp::KeywordSet discarded, const Offered& offered);

}  // namespace posthorn::receive
