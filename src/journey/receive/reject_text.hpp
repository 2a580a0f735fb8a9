// receive/reject_text.hpp: a 4xx or 5xx reply as the administrator wants it said. Pure.       postconf(5): smtpd_reject_footer
// Shape     replies without their last CRLF; several lines are joined by CRLF.
// Footer    a line of its own behind the reply, with the reply's code and enhanced code; `\n` in the template breaks lines, `\c` at its
//           beginning puts it behind the text. $client_address, $client_port, $localtime, $server_name; any other name is an error, and
//           then the reply stays as it was: half a sentence helps nobody.
// Filter    a result must be a reply of class 4 or 5, else it is refused.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"
#include "receive/policy/expansion_filter.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::receive {

struct FooterFacts {
    std::string_view client_address, server_name;
    std::uint16_t client_port = 0;
    WallTime now{};
    policy::ExpansionFilter filter{};
};

Result<std::string> with_footer(std::string_view reply, std::string_view footer, const FooterFacts& facts);

/// smtpd_reject_filter_maps: what to say in place of a reply.
Result<std::string> filtered_reply(std::string_view result);

}  // namespace posthorn::receive
