// services/hook_post.hpp: records on their way to who wants them pushed (record_hook_url).
// Shape    one JSON object where there is one to a request, else an array; Content-Type: application/json.
#pragma once

#include "services/http_post.hpp"

#include <span>
#include <string>
#include <string_view>

namespace posthorn::services {

/// The request, whole. `authorization`: the value of that field; empty: none.
std::string hook_request(const net::HttpUrl& url, std::string_view authorization, std::span<const std::string_view> records, bool array);

/// The content of record_hook_authorization_file as the value of a field: one line of printable ASCII. Error: it is none, and why.
Result<std::string> authorization_value(std::string_view content);

}  // namespace posthorn::services
