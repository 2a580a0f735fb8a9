// send/requiretls.hpp: mail that requires TLS on all its way, and what is asked of a host for it.                     RFC 8689 2, 4.2.1
// Levels   smtp_requiretls_policy's words, by next hop; where it says nothing of one: enforce. Mail from <> is sent all the same (RFC 8689 5).
// Enforce  a host that DNSSEC or MTA-STS vouches for, or that nobody had to be asked for; TLS; the certificate that its level asks for, or, where
//          that asks for none, TLSA records or an authority and the host's name; REQUIRETLS in the reply to EHLO.
// Errors   5.7.10: this host cannot have it, whenever it is asked; 4.7.5: as for any mail.
#pragma once

#include "base/error.hpp"
#include "send/tls_demand.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::send {

/// In the order of what they ask for. disable: as if nobody had asked; opportunistic: MAIL says it where the server offers it.
enum class RequireTls : std::uint8_t { disable, opportunistic, opportunistic_starttls, enforce };

/// What the session has to be for it; else it rides with other mail.
constexpr bool demands(RequireTls level) { return level >= RequireTls::opportunistic_starttls; }

std::string_view word_of(RequireTls level);
std::optional<RequireTls> require_tls_of(std::string_view word);

/// tls_demand() for mail that requires TLS so far.
awaitable<Result<TlsDemand>> tls_demand(Host host, TlsPolicy policy, RequireTls required, const Options* options, const Surroundings* around);

/// The policy for mail that says TLS-Required: no: TLS where it can be had, whoever the server is.                       RFC 8689 4.2.2
TlsPolicy made_optional(TlsPolicy policy);

}  // namespace posthorn::send
