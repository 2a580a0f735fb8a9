#include "milter/spec.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "config/server_spec.hpp"
#include "config/units.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace posthorn::milter {

namespace {

constexpr auto actions = std::to_array<std::pair<std::string_view, DefaultAction>>({
    {"accept", DefaultAction::accept},
    {"reject", DefaultAction::reject},
    {"tempfail", DefaultAction::tempfail},
    {"quarantine", DefaultAction::quarantine},
    {"shutdown", DefaultAction::shutdown},
});

Result<void> place(Spec& spec)
{
    const std::string_view text = spec.name;
    const auto colon = text.find(':');
    const std::string_view kind = text.substr(0, colon);
    const std::string_view rest = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    if ((kind == "unix" || kind == "local") && !rest.empty()) {
        spec.is_unix = true;
        spec.path = rest;
        return {};
    }
    if (kind != "inet")
        return Error{fmt::format("\"{}\": expected inet:host:port or unix:path", text)};
    if (rest.find('@') != std::string_view::npos)
        return Error{fmt::format("\"{}\": expected inet:host:port (inet:port@host is how Sendmail writes it)", text)};
    const auto last = rest.rfind(':');
    const auto port = last == std::string_view::npos ? std::nullopt : config::tcp_port(rest.substr(last + 1));
    std::string_view host = rest.substr(0, last == std::string_view::npos ? 0 : last);
    if (host.starts_with('[') && host.ends_with(']') && host.size() > 2)
        host = host.substr(1, host.size() - 2);
    if (!port || host.find_first_of("/ \t[]") != std::string_view::npos)
        return Error{fmt::format("\"{}\": expected inet:host:port or unix:path", text)};
    spec.host = host.empty() ? "localhost" : std::string(host);
    spec.port = *port;
    return {};
}

Result<void> set(Settings& settings, std::string_view name, std::string_view value)
{
    const auto time = [&](std::chrono::seconds& into) -> Result<void> {
        const auto parsed = config::parse_time(value, config::Unit::seconds);
        if (!parsed || *parsed < std::chrono::seconds{1})
            return Error{fmt::format("{} = {}: expected a time of at least one second", name, value)};
        into = *parsed;
        return {};
    };
    if (name == "connect_timeout")
        return time(settings.connect_timeout);
    if (name == "command_timeout")
        return time(settings.command_timeout);
    if (name == "content_timeout")
        return time(settings.content_timeout);
    if (name == "protocol")
        return parse_protocol(value, settings);
    if (name == "default_action") {
        const auto action = parse_default_action(value);
        if (!action)
            return Error{fmt::format("default_action = {}: expected accept, reject, tempfail, quarantine or shutdown", value)};
        settings.default_action = *action;
        return {};
    }
    return Error{fmt::format("unknown setting \"{}\"", name)};
}

Result<Spec> parse_one(std::string_view text, const Settings& defaults)
{
    Spec spec;
    spec.settings = defaults;
    TRY(const auto parsed, config::parse_server_spec(text));
    spec.name = parsed.name;
    TRY_VOID(place(spec));
    for (const auto& [name, value] : parsed.settings)
        TRY_VOID(set(spec.settings, name, value));
    return spec;
}

}  // namespace

std::optional<DefaultAction> parse_default_action(std::string_view word)
{
    for (const auto& [text, action] : actions)
        if (iequals(text, word))
            return action;
    return std::nullopt;
}

Result<void> parse_protocol(std::string_view text, Settings& into)
{
    std::optional<std::uint32_t> version;
    bool mute = false;
    for (const std::string_view word : split(text, " ,\t\r\n")) {
        if (word == "no_header_reply")
            mute = true;
        else if ((word == "2" || word == "3" || word == "4" || word == "6") && !version)
            version = static_cast<std::uint32_t>(word.front() - '0');
        else
            return Error{fmt::format("bad protocol information: {}", text)};
    }
    if (!version)
        return Error{"no protocol version information: expected 2, 3, 4 or 6"};
    into.version = *version;
    into.mute_header = mute;
    return {};
}

Result<std::vector<Spec>> parse_milters(std::string_view text, const Settings& defaults)
{
    std::vector<Spec> specs;
    for (const std::string_view piece : config::split_grouped(text)) {
        TRY(auto spec, parse_one(piece, defaults));
        specs.push_back(std::move(spec));
    }
    return specs;
}

}  // namespace posthorn::milter
