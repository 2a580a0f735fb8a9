// base/json.hpp: JSON text, written.                                                                                RFC 8259
// Shape    strings in quotes; objects with ", " and ": ", in one line, without a line end.
// Trust    none: whatever the octets are, the result is valid JSON and valid UTF-8; an octet that is no part of UTF-8 becomes U+FFFD.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace posthorn {

std::string json_text(std::string_view text);

/// Of names that need no escaping, and values that are text.
using JsonMember = std::pair<std::string_view, std::string_view>;
std::string json_object(std::initializer_list<JsonMember> members);

}  // namespace posthorn
