#include "services/hook_post.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::services {

namespace {

constexpr std::size_t longest_authorization = 8192;

}  // namespace

std::string hook_request(const net::HttpUrl& url, std::string_view authorization, std::span<const std::string_view> records, bool array)
{
    std::string body(array ? "[" : "");
    for (const std::string_view record : records)
        body.append(body.size() > 1 ? "," : "").append(record);
    return post_request(url, "application/json", authorization, body + (array ? "]" : ""));
}

Result<std::string> authorization_value(std::string_view content)
{
    const std::string_view value = trim(content);
    if (value.size() > longest_authorization)
        return Error{fmt::format("more than {} octets", longest_authorization)};
    if (!std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; }))
        return Error{"it is not one line of printable ASCII"};
    return std::string(value);
}

}  // namespace posthorn::services
