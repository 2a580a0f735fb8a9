// dns/idna.hpp: domain names between people and the DNS (RFC 5890, 5891, UTS 46 non-transitional; config/idna.hpp).
// In       UTF-8 or ASCII; what is ASCII already passes unchanged, whether or not IDNA likes it ("_25._tcp.x").
#pragma once

#include "base/error.hpp"

#include <string>
#include <string_view>

namespace posthorn::dns {

/// "bücher.example" to "xn--bcher-kva.example".
Result<std::string> to_a_labels(std::string_view domain);
/// The other way; what is no A-label stays as it is.
std::string to_u_labels(std::string_view domain);

}  // namespace posthorn::dns
