// receive/ehlo_reply.hpp: the reply to EHLO.                                                      RFC 5321 4.1.1.1, 9422, Postfix's order
#pragma once

#include "receive/options.hpp"

#include <string>

namespace posthorn::receive {

/// All lines with CRLF. `discarded` are not announced; `starttls`: it may be used now; `pipe_connect`: this client need not wait for the
/// greeting. LIMITS only where the configuration limits more than clients may expect: mail programs of today know nothing of it.
std::string ehlo_reply(const Options& options, smtp::KeywordSet discarded, bool starttls, bool pipe_connect, bool xclient = false,
                       bool xforward = false);

}  // namespace posthorn::receive
