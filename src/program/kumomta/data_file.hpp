// kumomta/data_file.hpp: the files that a policy names: sources, queues, shaping, listener domains, DKIM.              TOML 1.0, RFC 8259
// Shape    a table; a name that ends in ".toml" is TOML, else it is JSON (with comments, as KumoMTA's are).
// Trust    none of the text. Limits of value.hpp. Errors: "FILE, line N: ...".
#pragma once

#include "base/error.hpp"
#include "kumomta/value.hpp"

#include <string>
#include <string_view>

namespace posthorn::kumomta {

Result<Value> parse_data(std::string_view text, const std::string& name);

}  // namespace posthorn::kumomta
