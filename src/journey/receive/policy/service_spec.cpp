#include "receive/policy/service_spec.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "config/units.hpp"

#include <fmt/format.h>
#include <netdb.h>

#include <limits>
#include <optional>

namespace posthorn::receive::policy {

namespace {

bool is_group(std::string_view text) { return text.size() >= 2 && text.starts_with('{') && text.ends_with('}'); }
std::string_view inside(std::string_view group) { return trim(group.substr(1, group.size() - 2)); }

// Names of ports are those of /etc/services; asked once, when the list is compiled.
std::optional<std::uint16_t> port_of(std::string_view text)
{
    if (const auto number = parse_number(text))
        return *number > 0 && *number <= 65535 ? std::optional(static_cast<std::uint16_t>(*number)) : std::nullopt;
    const servent* const known = ::getservbyname(std::string(text).c_str(), "tcp");
    if (known == nullptr)
        return std::nullopt;
    return static_cast<std::uint16_t>((known->s_port & 0xff) << 8 | (known->s_port >> 8 & 0xff));
}

Result<void> set(ServiceLimits& limits, std::string_view name, std::string_view value)
{
    const auto wrong = [&](std::string_view expected) { return Error{fmt::format("{} = {}: expected {}", name, value, expected)}; };
    const auto time = [&](std::chrono::seconds& into) -> Result<void> {
        const auto parsed = config::parse_time(value, config::Unit::seconds);
        if (!parsed || *parsed < std::chrono::seconds{1})
            return wrong("a time of at least one second");
        into = *parsed;
        return {};
    };
    const auto count = [&](std::uint32_t& into, std::uint64_t least) -> Result<void> {
        const auto parsed = parse_number(value);
        if (!parsed || *parsed < least || *parsed > std::numeric_limits<std::int32_t>::max())
            return wrong(least == 0 ? "a number" : "a number above zero");
        into = static_cast<std::uint32_t>(*parsed);
        return {};
    };
    if (name == "timeout")
        return time(limits.timeout);
    if (name == "max_idle")
        return time(limits.max_idle);
    if (name == "max_ttl")
        return time(limits.max_ttl);
    if (name == "retry_delay")
        return time(limits.retry_delay);
    if (name == "try_limit")
        return count(limits.try_limit, 1);
    if (name == "request_limit")
        return count(limits.request_limit, 0);
    if (name == "policy_context") {
        limits.context = value;
        return {};
    }
    if (name == "default_action") {
        if (value.empty())
            return wrong("an action");
        limits.default_action = value;
        return {};
    }
    return Error{fmt::format("unknown setting \"{}\"", name)};
}

Result<void> place(ServiceSpec& spec)
{
    const std::string_view text = spec.name;
    const auto colon = text.find(':');
    const std::string_view kind = text.substr(0, colon);
    const std::string_view rest = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    spec.endpoint = rest;
    if (kind == "unix" || kind == "local") {
        if (rest.empty())
            return Error{fmt::format("\"{}\": expected unix:path", text)};
        spec.is_unix = true;
        spec.path = rest;
        return {};
    }
    // Without a kind it is a host and a port.
    const std::string_view place = kind == "inet" ? rest : text;
    spec.endpoint = place;
    const auto last = place.rfind(':');
    const auto port = last == std::string_view::npos ? std::nullopt : port_of(place.substr(last + 1));
    std::string_view host = place.substr(0, last);
    if (host.starts_with('[') && host.ends_with(']'))
        host = inside(host);
    if (!port || host.find_first_of("/ \t") != std::string_view::npos)
        return Error{fmt::format("\"{}\": expected inet:host:port or unix:path", text)};
    spec.host = host.empty() ? "localhost" : std::string(host);
    spec.port = *port;
    return {};
}

}  // namespace

Result<ServiceSpec> parse_service(std::string_view text, const ServiceLimits& defaults)
{
    ServiceSpec spec;
    spec.limits = defaults;
    text = trim(text);
    if (!is_group(text)) {
        spec.name = text;
        TRY_VOID(place(spec));
        return spec;
    }
    const auto pieces = config::split_grouped(inside(text));
    if (pieces.empty())
        return Error{"{}: expected inet:host:port or unix:path"};
    spec.name = pieces.front();
    TRY_VOID(place(spec));
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
        TRY_VOID(set(spec.limits, trim(std::string_view(setting).substr(0, equals)), value));
    }
    return spec;
}

}  // namespace posthorn::receive::policy
