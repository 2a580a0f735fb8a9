// report/compose.hpp: the messages that tell about a message.            RFC 3464, RFC 6522, RFC 6533, RFC 3834
// In       a request and the options. Out: one message to the sender and/or one to the postmaster, ready to enqueue (envelope
//          from <>, or from the double-bounce address to the postmaster), and the log lines that name them.
// Groups   recipients of one explanation stand together below it; those without one come first, in the request's order, as all do without any.
// Shape    CRLF line ends. 8bit only where the text or the returned message is; UTF-8 addresses make it a global report.
#pragma once

#include "base/clock.hpp"
#include "report/template.hpp"
#include "report/whom.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace posthorn::config {
class Snapshot;
}

namespace posthorn::report {

struct Options {
    /// `templates`: bounce_template_file, parsed; the built-in ones without it.
    static Options from(const config::Snapshot& snapshot, Templates templates);

    std::string myhostname, myorigin;
    std::string mail_name = "Posthorn";
    std::string double_bounce_sender;            // full address
    std::string bounce_notice_recipient, double_bounce_notice_recipient, delay_notice_recipient, error_notice_recipient;   // full addresses
    handoff::NotifyClasses notify;
    Templates templates = built_in_templates();
    bool redact_requiretls = true;               // of mail that requires TLS the header alone comes along
    bool threaded = false;                       // enable_threaded_bounces: In-Reply-To and References
    /// A parameter's value for the templates; times in seconds.
    std::function<std::optional<std::string>(std::string_view)> parameter;
    /// Minutes east of UTC at a time: the zone of dates.
    std::function<std::chrono::minutes(WallTime)> zone = [](WallTime) { return std::chrono::minutes{0}; };
};

/// `explanations`: for each verdict what is said above its recipient's lines, to the sender alone (explanations.hpp); none: for none.
handoff::ReportReply compose(const handoff::ReportRequest& request, const Options& options, const std::vector<std::string>& explanations = {});

/// What a text of this report may name: of times those that hold for this mail, which need not be main.cf's.
std::optional<std::string> template_parameter(const handoff::ReportRequest& request, const Options& options, std::string_view name);
/// Options::parameter of a configuration.
std::function<std::optional<std::string>(std::string_view)> template_parameters(const config::Snapshot& snapshot);
/// Empty: the address has none.
std::string domain_of_recipient(const handoff::ReportRequest& request, std::size_t verdict);

}  // namespace posthorn::report
