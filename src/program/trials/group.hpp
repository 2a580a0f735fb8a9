// trials/group.hpp: what goes into one entry of the list.
// Client   by its name the domain above ("mail-1.example.com": example.com; "mail.example.co.uk": example.co.uk), without a confirmed name its
//          network: 192.0.2.0/24, 2001:db8::/64.
// Reason   a reply with "*" for addresses, domains of the mail, numbers and queries of links, at most reason_octets.
// Pure.
#pragma once

#include "handoff/trials.pb.h"

#include <string>
#include <string_view>

namespace posthorn::trials {

inline constexpr std::size_t reason_octets = 300;

/// `name` "unknown" or empty: it has none.
std::string client_group(std::string_view name, std::string_view address);
/// `sample`: of whose addresses the reply may speak.
std::string general_reason(std::string_view reply, const handoff::TrialSample& sample);

}  // namespace posthorn::trials
