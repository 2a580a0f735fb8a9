#include "config/server_spec.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"

#include <fmt/format.h>
#include <netdb.h>

namespace posthorn::config {

namespace {

bool is_group(std::string_view text) { return text.size() >= 2 && text.starts_with('{') && text.ends_with('}'); }
std::string_view inside(std::string_view group) { return trim(group.substr(1, group.size() - 2)); }

}  // namespace

Result<ServerSpec> parse_server_spec(std::string_view text)
{
    ServerSpec spec;
    text = trim(text);
    if (!is_group(text)) {
        spec.name = text;
        return spec;
    }
    const auto pieces = split_grouped(inside(text));
    if (pieces.empty())
        return Error{"{}: expected inet:host:port or unix:path"};
    spec.name = pieces.front();
    for (std::size_t at = 1; at < pieces.size();) {
        // "name=value", or with spaces around the "=" as pieces of their own, or both within braces.
        std::string setting(pieces[at++]);
        if (is_group(setting)) {
            setting = std::string(inside(setting));
        } else {
            if (setting.find('=') == std::string::npos && at < pieces.size() && pieces[at].starts_with('='))
                setting += pieces[at++];
            if (setting.ends_with('=') && at < pieces.size())
                setting += pieces[at++];
        }
        const auto equals = setting.find('=');
        if (equals == std::string::npos)
            return Error{fmt::format("\"{}\": expected name=value", setting)};
        std::string_view value = trim(std::string_view(setting).substr(equals + 1));
        if (is_group(value))
            value = inside(value);
        spec.settings.emplace_back(trim(std::string_view(setting).substr(0, equals)), value);
    }
    return spec;
}

std::optional<std::uint16_t> tcp_port(std::string_view text)
{
    if (const auto number = parse_number(text))
        return *number > 0 && *number <= 65535 ? std::optional(static_cast<std::uint16_t>(*number)) : std::nullopt;
    if (text.empty() || is_digit(text.front()))
        return std::nullopt;
    // Small systems have no services(5), others lack some of these or know another name for 465.
    static constexpr std::pair<std::string_view, std::uint16_t> of_mail[] = {
        {"lmtp", 24}, {"smtp", 25}, {"smtps", 465}, {"submissions", 465}, {"submission", 587}};
    for (const auto& [name, port] : of_mail)
        if (name == text)
            return port;
    const servent* const known = ::getservbyname(std::string(text).c_str(), "tcp");
    if (known == nullptr)
        return std::nullopt;
    return static_cast<std::uint16_t>((known->s_port & 0xff) << 8 | (known->s_port >> 8 & 0xff));
}

}  // namespace posthorn::config
