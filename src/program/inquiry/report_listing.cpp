#include "inquiry/report_listing.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "inquiry/transcripts.hpp"
#include "ipc/client.hpp"

#include <fmt/format.h>

namespace posthorn::inquiry {

std::string utc_date(std::int64_t days)
{
    const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

Result<handoff::AggregateReports> ask_reporter(const config::Snapshot& snapshot, handoff::AggregateCommand command, Until until)
{
    if (snapshot.text("aggregate_reports").empty())
        return Error{"no domain has daily reports: aggregate_reports is empty", "4.3.0"};
    const std::string socket = fmt::format("{}/{}", snapshot.text("queue_directory"), handoff::reporter_socket);
    auto connected = ipc::connect_unix(socket);
    if (!connected)
        return Error{fmt::format("{}: {}: is the mail system running, and has it been reloaded since aggregate_reports was set?", socket,
                                 connected.error().text()),
                     "4.3.0"};
    ipc::ChannelOptions options;
    options.name = "reporter";
    options.call_limit = std::chrono::minutes{10};                                  // reports are sent one after the other
    return ask<handoff::AggregateReports>(*std::move(connected), limited(options, until), handoff::Frame::aggregate, std::move(command));
}

Result<std::int64_t> day_of(std::string_view word, WallTime now)
{
    const auto today = std::chrono::floor<std::chrono::days>(now).time_since_epoch().count();
    if (word == "today")
        return today;
    if (word == "yesterday")
        return today - 1;
    const auto parts = split_exact(word, '-');
    const auto year = parts.size() == 3 ? parse_number(parts[0]) : std::nullopt;
    const auto month = year ? parse_number(parts[1]) : std::nullopt, day = month ? parse_number(parts[2]) : std::nullopt;
    if (year && month && day && *year >= 1970 && *year < 10'000 && *month <= 12 && *day <= 31) {
        const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)), std::chrono::month(static_cast<unsigned>(*month)),
                                               std::chrono::day(static_cast<unsigned>(*day)));
        if (date.ok())
            return std::chrono::sys_days(date).time_since_epoch().count();
    }
    return Error{fmt::format("\"{}\" is no day: expected YYYY-MM-DD, today or yesterday", printable(word))};
}

std::string report_line(const handoff::AggregateReports::Report& report)
{
    std::string line = fmt::format("{}  {:<5}  {}: {} as it asks, {} not", utc_date(report.day()), report.kind(), printable(report.domain()),
                                   report.good(), report.bad());
    if (report.left_out() > 0)
        line += fmt::format(" ({} not listed)", report.left_out());
    const std::string when = local_time(report.next());
    if (report.state() == "collecting")
        return line + "; goes " + when;
    if (report.state() == "waiting")
        return line + fmt::format("; tried {} times, again {}: {}", report.attempts(), when, printable(report.note(), true));
    return line + fmt::format("; {} {}: {}", report.state() == "sent" ? "sent" : "not sent", when, printable(report.note(), true));
}

std::string report_json(const handoff::AggregateReports::Report& report)
{
    return fmt::format("{{\"kind\": {}, \"domain\": {}, \"day\": \"{}\", \"good\": {}, \"bad\": {}, \"left_out\": {}, \"state\": {}, \"next\": {}, "
                       "\"attempts\": {}, \"note\": {}, \"record\": {}}}",
                       json_text(report.kind()), json_text(printable(report.domain(), true)), utc_date(report.day()), report.good(), report.bad(),
                       report.left_out(), json_text(report.state()), report.next() / 1'000'000, report.attempts(),
                       json_text(printable(report.note(), true)), json_text(printable(report.record(), true)));
}

}  // namespace posthorn::inquiry
