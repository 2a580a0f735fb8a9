#include "report/template.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::report {

Templates built_in_templates()
{
    Templates templates;
    templates.failure.subject = "Undelivered Mail Returned to Sender";
    templates.failure.postmaster_subject = "Postmaster Copy: Undelivered Mail";
    templates.failure.text = "This is the mail system at host $myhostname.\n"
                             "\n"
                             "Your message could not be delivered to the recipients listed below, and\n"
                             "no further attempt will be made. The reason is given with each of them;\n"
                             "your message, or its header, is attached.\n"
                             "\n"
                             "If you need help, forward this report to postmaster.\n";
    templates.delay.subject = "Delayed Mail (still being retried)";
    templates.delay.postmaster_subject = "Postmaster Warning: Delayed Mail";
    templates.delay.text = "This is the mail system at host $myhostname.\n"
                           "\n"
                           "Your message has waited for more than $delay_warning_time_hours hour(s). It is still\n"
                           "in the queue and will be tried again; there is no need to send it again.\n"
                           "If it cannot be delivered within $maximal_queue_lifetime_days day(s), it will be returned to you.\n";
    templates.success.subject = "Successful Mail Delivery Report";
    templates.success.text = "This is the mail system at host $myhostname.\n"
                             "\n"
                             "Your message was delivered to the recipients listed below, or handed to a\n"
                             "mail system that sends no such reports. You asked to be told.\n";
    templates.verify.subject = "Mail Delivery Status Report";
    templates.verify.text = "This is the mail system at host $myhostname.\n"
                            "\n"
                            "This is the report on delivery that you asked for.\n";
    return templates;
}

namespace {

/// One template's lines, headers first.
Result<Template> parse_one(std::string_view lines, Template made, std::string_view file, std::size_t first_line)
{
    std::size_t number = first_line;
    while (!lines.empty()) {
        const std::string_view line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(std::min(lines.size(), line.size() + 1));
        ++number;
        if (trim(line).empty())
            break;
        const std::size_t colon = line.find(':');
        const std::string name = to_lower(trim(line.substr(0, colon)));
        if (colon == line.npos)
            return Error{fmt::format("{}, line {}: \"{}\": expected a header line \"name: value\" or an empty line", file, number, line)};
        const std::string value(trim(line.substr(colon + 1)));
        if (name == "charset")
            made.charset = value;
        else if (name == "from")
            made.from = value;
        else if (name == "subject")
            made.subject = value;
        else if (name == "postmaster-subject")
            made.postmaster_subject = value;
        else
            return Error{fmt::format("{}, line {}: unknown header \"{}\"; known are Charset, From, Subject, Postmaster-Subject", file, number, name)};
    }
    if (trim(lines).empty())
        return Error{fmt::format("{}, line {}: the template has no text", file, number)};
    if (!is_ascii(lines) && iequals(made.charset, "us-ascii"))
        return Error{fmt::format("{}, line {}: the text is not us-ascii; say Charset: utf-8", file, number)};
    made.text = lines;
    return made;
}

}  // namespace

Result<Templates> parse_templates(std::string_view text, std::string_view file)
{
    Templates templates = built_in_templates();
    std::size_t number = 0;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        ++number;
        if (trim(line).empty() || line.starts_with('#'))
            continue;
        const std::size_t equals = line.find('=');
        const std::string_view name = trim(line.substr(0, equals));
        const std::string_view value = equals == line.npos ? std::string_view{} : trim(line.substr(equals + 1));
        Template* made = name == "failure_template"   ? &templates.failure
                         : name == "delay_template"   ? &templates.delay
                         : name == "success_template" ? &templates.success
                         : name == "verify_template"  ? &templates.verify
                                                      : nullptr;
        if (made == nullptr || !value.starts_with("<<") || trim(value.substr(2)).empty())
            return Error{
                fmt::format("{}, line {}: \"{}\": expected \"failure_template = <<WORD\", or delay_, success_, verify_template", file, number, line)};
        const std::string_view word = trim(value.substr(2));
        const std::size_t first = number;
        std::string_view body = text;
        std::size_t size = 0;
        for (;;) {
            if (text.empty())
                return Error{fmt::format("{}, line {}: the end \"{}\" of {} is missing", file, first, word, name)};
            const std::string_view inner = text.substr(0, text.find('\n'));
            text.remove_prefix(std::min(text.size(), inner.size() + 1));
            ++number;
            if (trim(inner) == word)
                break;
            size += inner.size() + 1;
        }
        TRY(*made, parse_one(body.substr(0, std::min(size, body.size())), std::move(*made), file, first));
    }
    return templates;
}

std::string expand_template(std::string_view text, const std::function<std::optional<std::string>(std::string_view)>& lookup,
                            std::vector<std::string>* unknown)
{
    constexpr struct {
        std::string_view suffix;
        std::uint64_t seconds;
    } units[] = {{"_seconds", 1}, {"_minutes", 60}, {"_hours", 3600}, {"_days", 86400}, {"_weeks", 7 * 86400}};
    const auto is_name = [](char c) { return is_alnum(c) || c == '_'; };
    std::string out;
    while (!text.empty()) {
        const std::size_t dollar = text.find('$');
        out += text.substr(0, dollar);
        if (dollar == text.npos)
            break;
        text.remove_prefix(dollar + 1);
        if (text.starts_with('$')) {
            out += '$';
            text.remove_prefix(1);
            continue;
        }
        const bool braces = text.starts_with('{');
        std::size_t end = braces ? 1 : 0;
        while (end < text.size() && is_name(text[end]))
            ++end;
        const std::string_view name = text.substr(braces, end - braces);
        if (name.empty() || (braces && (end == text.size() || text[end] != '}'))) {
            out += '$';
            if (braces && unknown != nullptr)
                unknown->push_back(fmt::format("${{{}", name));
            continue;
        }
        std::optional<std::string> value = lookup(name);
        for (const auto& unit : units)
            if (!value && name.ends_with(unit.suffix))
                if (const auto time = lookup(name.substr(0, name.size() - unit.suffix.size())))
                    if (const auto seconds = parse_number(*time))
                        value = std::to_string((*seconds + unit.seconds - 1) / unit.seconds);
        const std::string written = fmt::format("{}{}{}", braces ? "${" : "$", name, braces ? "}" : "");
        out += value ? *value : written;
        if (!value && unknown != nullptr)
            unknown->push_back(written);
        text.remove_prefix(end + (braces ? 1 : 0));
    }
    return out;
}

}  // namespace posthorn::report
