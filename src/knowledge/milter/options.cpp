#include "milter/options.hpp"

#include "base/strings.hpp"
#include "milter/params.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::milter {

namespace {

template <class T>
T or_throw(const Param<std::string>& param, Result<T> result)
{
    if (!result)
        throw config::BadValue(fmt::format("bad configuration: {}: {}", param.name, result.error().text()));
    return *std::move(result);
}

}  // namespace

Options Options::from(const config::Snapshot& snapshot, std::string_view overrides)
{
    Options options;
    Settings& settings = options.settings;
    settings.connect_timeout = snapshot.get(milter_connect_timeout);
    settings.command_timeout = snapshot.get(milter_command_timeout);
    settings.content_timeout = snapshot.get(milter_content_timeout);
    if (const auto read = parse_protocol(snapshot.get(milter_protocol), settings); !read)
        throw config::BadValue(fmt::format("bad configuration: {}: {}", milter_protocol.name, read.error().text()));
    const std::string word = snapshot.get(milter_default_action);
    const auto action = parse_default_action(word);
    if (!action)
        throw config::BadValue(
            fmt::format("bad configuration: {} = {}: expected accept, reject, tempfail, quarantine or shutdown", milter_default_action.name, word));
    settings.default_action = *action;
    options.defaults = or_throw(milter_macro_defaults, parse_macro_defaults(snapshot.get(milter_macro_defaults)));
    const auto list = [&](Stage stage, const Param<std::string>& param) { options.lists.of(stage) = parse_macro_list(snapshot.get(param)); };
    list(Stage::connect, milter_connect_macros);
    list(Stage::helo, milter_helo_macros);
    list(Stage::mail, milter_mail_macros);
    list(Stage::recipient, milter_rcpt_macros);
    list(Stage::data, milter_data_macros);
    list(Stage::end_of_header, milter_end_of_header_macros);
    list(Stage::end_of_body, milter_end_of_data_macros);
    list(Stage::unknown, milter_unknown_command_macros);
    options.daemon_name = snapshot.get(milter_macro_daemon_name);
    options.v = snapshot.get(milter_macro_v);
    const auto smtpd = or_throw(smtpd_milters, parse_milters(snapshot.get(smtpd_milters), settings));
    const auto other = or_throw(non_smtpd_milters, parse_milters(snapshot.get(non_smtpd_milters), settings));
    if (std::ranges::any_of(split(overrides, " \t\r\n,"), [](std::string_view one) { return iequals(one, "no_milters"); }))
        return options;
    options.smtpd = smtpd;
    options.other = other;
    options.smtpd_maps = snapshot.get(smtpd_milter_maps);
    return options;
}

}  // namespace posthorn::milter
