// services/own_transports.hpp: the transports that need no peer: error, retry, discard.
#pragma once

#include "handoff/words.pb.h"

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::services {

/// The next hop of discard, for a probe of an address that becomes several: deliverable, as far as anybody can say.
inline constexpr std::string_view several_recipients = "aliased to multiple recipients";

struct OwnVerdict {
    handoff::Outcome outcome;
    std::string status, text;
};

/// What becomes of a recipient routed there; none: the transport has a delivery process.
/// error and retry take "5.1.1 text" or "text" as next hop (error(8)), discard takes the reason.
std::optional<OwnVerdict> own_transport(const handoff::Route& route, handoff::Purpose purpose);

}  // namespace posthorn::services
