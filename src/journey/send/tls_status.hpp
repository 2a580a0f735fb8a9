// send/tls_status.hpp: the tls= field of delivery lines: what was asked of TLS with the host, and what came of it.
// Form     "LEVEL", ":LESS" behind it where less than that was had, "!" before it where that was too little and the host had nothing, "?" behind
//          it where it did not come so far: "may:none", "!encrypt:none", "dane?". For mail that requires TLS "/requiretls" follows, in the same form.
// Source   postconf(5), smtp_log_tls_feature_status.
// Pure.
#pragma once

#include "send/requiretls.hpp"
#include "send/tls_demand.hpp"

#include <cstdint>
#include <string>

namespace posthorn::send {

/// How far TLS came with a host.
enum class TlsEnd : std::uint8_t {
    undecided,  // no connection, or it ended before that was clear
    clear,  // used without TLS
    secured,  // used, as the level asks
    no_encryption,  // not used: TLS is not to be used with it
    no_starttls,  // not used: it offers no TLS
    no_match,  // not used: it has not shown who it is
    no_requiretls,  // not used: it offers no REQUIRETLS
};

/// The field's value. `offers_requiretls`: of a host that was used; `required`: of mail that requires TLS.
std::string tls_status(const TlsDemand& demand, TlsEnd end, RequireTls required = RequireTls::disable, bool offers_requiretls = false);

}  // namespace posthorn::send
