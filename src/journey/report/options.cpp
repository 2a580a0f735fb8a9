#include "base/strings.hpp"
#include "report/compose.hpp"
#include "report/params.hpp"

#include "config/snapshot.hpp"
#include "config/units.hpp"

namespace posthorn::report {

std::function<std::optional<std::string>(std::string_view)> template_parameters(const config::Snapshot& snapshot)
{
    return [snapshot](std::string_view name) -> std::optional<std::string> {
        if (!snapshot.as_written(name))
            return std::nullopt;
        const std::string value = snapshot.text(name);
        // Times are asked for in a unit of the asker's choice.
        if (name.ends_with("_time") || name.ends_with("_lifetime"))
            if (const auto time = config::parse_time(value, config::Unit::seconds))
                return std::to_string(time->count());
        return value;
    };
}

Options Options::from(const config::Snapshot& snapshot, Templates templates)
{
    Options options;
    options.templates = std::move(templates);
    options.myhostname = snapshot.text("myhostname");
    options.myorigin = snapshot.text("myorigin");
    const auto full = [&](std::string address) { return address.find('@') == address.npos ? address + "@" + options.myorigin : address; };
    options.double_bounce_sender = full(snapshot.get(report::double_bounce_sender));
    options.bounce_notice_recipient = full(snapshot.get(report::bounce_notice_recipient));
    options.double_bounce_notice_recipient = full(snapshot.get(report::double_bounce_notice_recipient));
    options.delay_notice_recipient = full(snapshot.get(report::delay_notice_recipient));
    options.error_notice_recipient = full(snapshot.get(report::error_notice_recipient));
    auto classes = handoff::NotifyClasses::parse(snapshot.get(notify_classes));
    if (!classes)
        throw config::BadValue(classes.error().text());
    options.notify = *classes;
    options.mail_name = snapshot.text("mail_name");
    options.redact_requiretls = snapshot.get(requiretls_redact_dsn);
    options.threaded = snapshot.get(enable_threaded_bounces);
    options.parameter = template_parameters(snapshot);
    return options;
}

}  // namespace posthorn::report
