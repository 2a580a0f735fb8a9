// config/deprecated.hpp: parameters that Postfix 3.11 says will be removed, and what to set instead.          DEPRECATION_README
#pragma once

#include <string_view>

namespace posthorn::config {

/// "specify "smtp_tls_security_level"", "do not specify"; empty where the name is in use.
std::string_view advice_instead_of(std::string_view deprecated);

}  // namespace posthorn::config
