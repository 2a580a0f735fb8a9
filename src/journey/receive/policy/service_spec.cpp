#include "receive/policy/service_spec.hpp"

#include "base/strings.hpp"
#include "config/server_spec.hpp"
#include "config/units.hpp"

#include <fmt/format.h>

#include <limits>
#include <optional>

namespace posthorn::receive::policy {

namespace {

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
    const auto port = last == std::string_view::npos ? std::nullopt : config::tcp_port(place.substr(last + 1));
    std::string_view host = place.substr(0, last);
    if (host.starts_with('[') && host.ends_with(']'))
        host = trim(host.substr(1, host.size() - 2));
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
    TRY(const auto parsed, config::parse_server_spec(text));
    spec.name = parsed.name;
    TRY_VOID(place(spec));
    for (const auto& [name, value] : parsed.settings)
        TRY_VOID(set(spec.limits, name, value));
    return spec;
}

}  // namespace posthorn::receive::policy
