// receive/ehlo_reply.hpp: the reply to EHLO.                                                      RFC 5321 4.1.1.1, Postfix's order
#pragma once

#include "receive/options.hpp"

#include <string>

namespace posthorn::receive {

/// All lines with CRLF. `discarded` are not announced; `starttls`: it may be used now.
std::string ehlo_reply(const Options& options, smtp::KeywordSet discarded, bool starttls);

}  // namespace posthorn::receive
