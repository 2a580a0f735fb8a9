// submit/header_recipients.hpp: who gets a message handed in with -t, and whom command-line words name.      sendmail(1), RFC 5322 3.6.3
// Where a header has Resent- recipients those alone count: the others had the message already. Pure.
#pragma once

#include "base/error.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::submit {

/// Of To, Cc, Bcc, or of their Resent- kin; each once, in order of appearance.
std::vector<std::string> header_recipients(std::string_view header);

/// An address list on the command line ("a@example.com, B <b@example.com>"). Error: "bad recipient address: ...".
Result<std::vector<std::string>> command_line_recipients(std::string_view word);

}  // namespace posthorn::submit
