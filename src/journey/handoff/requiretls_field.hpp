// handoff/requiretls_field.hpp: the field that says that a message requires TLS, to who is told no more of it than its header.   requiretls_esmtp_header
#pragma once

#include <string_view>

namespace posthorn::handoff {

inline constexpr std::string_view requiretls_field = "Require-TLS-ESMTP: yes\r\n", requiretls_field_name = "Require-TLS-ESMTP",
                                  tls_required_field_name = "TLS-Required";

}  // namespace posthorn::handoff
