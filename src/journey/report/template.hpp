// report/template.hpp: the words of a report, and bounce_template_file.                                     bounce(5)
// Shape    up to four templates: failure_template, delay_template, success_template, verify_template, each
//              name = <<WORD / header lines / empty line / text / WORD
//          with the headers Charset, From, Subject and (failure, delay) Postmaster-Subject. Lines starting with '#' between templates
//          are comments. $name and ${name} in the text are main.cf parameters, and with a suffix a time in that unit:
//          $maximal_queue_lifetime_days, $delay_warning_time_hours.
// Errors   name file and line; a broken file leaves the built-in texts in force, as in Postfix.
#pragma once

#include "base/error.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::report {

struct Template {
    std::string charset = "us-ascii";
    std::string from = "MAILER-DAEMON (Mail Delivery System)";
    std::string subject;
    std::string postmaster_subject;
    std::string text;                    // lines end in LF
};

struct Templates {
    Template failure, delay, success, verify;
};

Templates built_in_templates();

/// The built-in templates with those of `text` (the file's content) in their place. `file` is its name, for errors.
Result<Templates> parse_templates(std::string_view text, std::string_view file);

/// `lookup` gives a parameter's value, none for an unknown name. Unknown names stay as they are written, and so is "${" without an end; both are
/// put into `unknown` as well, where one is given.
std::string expand_template(std::string_view text, const std::function<std::optional<std::string>(std::string_view)>& lookup,
                            std::vector<std::string>* unknown = nullptr);

}  // namespace posthorn::report
