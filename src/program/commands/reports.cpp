// posthorn reports: the daily reports that other domains ask for: what is counted for them, where they went, what one says; and sent now.
// posthorn reports received: theirs of our domains (report_addresses).
#include "base/strings.hpp"
#include "commands/command.hpp"
#include "inquiry/heard_listing.hpp"
#include "inquiry/report_listing.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <string_view>

namespace posthorn::commands {

namespace {

using handoff::AggregateCommand;

constexpr const char* reports_usage =
    "usage: posthorn reports [-c config_dir] [--json] [list | show | send] [DOMAIN] [--tls | --dmarc] [--day YYYY-MM-DD]";

constexpr const char* received_usage = "usage: posthorn reports received [-c config_dir] [--json] [--days N] [list | show DOMAIN | show ID]";

int run_received(std::span<char*> args)
{
    std::optional<std::string> directory;
    handoff::HeardCommand command;
    bool json = false, verb = false, shows = false;
    for (std::size_t at = 2; at < args.size(); ++at) {
        const std::string_view word = args[at];
        const bool has_value = at + 1 < args.size();
        const auto number = has_value ? parse_number(args[at + 1]) : std::nullopt;
        if (word == "-c" && has_value)
            directory = args[++at];
        else if (word == "--json")
            json = true;
        else if (word == "--days" && number && *number >= 1 && *number <= 10'000) {
            command.set_days(static_cast<std::uint32_t>(*number));
            ++at;
        } else if (!verb && (word == "list" || (word == "show" && has_value))) {
            verb = true;
            shows = word == "show";
            if (shows && number && *number > 0)
                command.set_report(*number);
            else if (shows)
                command.set_domain(args[at + 1]);
            at += shows ? 1 : 0;
        } else
            throw Failure(received_usage, submit::exit_usage);
    }
    command.set_with_reports(shows);
    const config::Snapshot snapshot = load_config("posthorn", directory);
    reserved_for_owner(snapshot);
    const bool one = command.report() != 0;
    const auto reply = inquiry::ask_reports(snapshot, std::move(command));
    if (!reply)
        throw Failure(reply.error().text(), reply.error().status() == "4.3.0" ? submit::exit_unavailable : 1);
    std::string text;
    for (const handoff::HeardSum& sum : reply->sums())
        text += json ? inquiry::heard_json(sum) + "\n" : shows ? inquiry::heard_text(sum) : inquiry::heard_line(sum) + "\n";
    for (const handoff::HeardReport& report : reply->reports())
        text += json ? inquiry::heard_json(report) + "\n" : one ? inquiry::heard_text(report) : inquiry::heard_line(report) + "\n";
    if (text.empty() && !json)
        text = "There is none.\n";
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

int run_reports(std::span<char*> args)
{
    if (args.size() > 1 && std::string_view(args[1]) == "received")
        return run_received(args);
    std::optional<std::string> directory;
    AggregateCommand command;
    bool json = false, verb = false;
    for (std::size_t at = 1; at < args.size(); ++at) {
        const std::string_view word = args[at];
        const bool has_value = at + 1 < args.size();
        if (word == "-c" && has_value)
            directory = args[++at];
        else if (word == "--json")
            json = true;
        else if ((word == "--tls" || word == "--dmarc") && command.kind().empty())
            command.set_kind(std::string(word.substr(2)));
        else if (word == "--day" && has_value) {
            const auto day = inquiry::day_of(args[++at], SystemClock().wall());
            if (!day)
                throw Failure(day.error().text(), submit::exit_usage);
            command.set_day(*day);
        } else if (!verb && (word == "list" || word == "show" || word == "send")) {
            verb = true;
            command.set_verb(word == "show" ? AggregateCommand::SHOW : word == "send" ? AggregateCommand::SEND : AggregateCommand::LIST);
        } else if (!word.starts_with('-') && command.domain().empty() && !word.empty())
            command.set_domain(std::string(word));
        else
            throw Failure(reports_usage, submit::exit_usage);
    }
    const bool shows = command.verb() == AggregateCommand::SHOW;
    if (shows && command.domain().empty())
        throw Failure(reports_usage, submit::exit_usage);
    const config::Snapshot snapshot = load_config("posthorn", directory);
    reserved_for_owner(snapshot);
    const auto reply = inquiry::ask_reporter(snapshot, std::move(command));
    if (!reply)
        throw Failure(reply.error().text(), reply.error().status() == "4.3.0" ? submit::exit_unavailable : 1);
    std::string text = shows ? reply->text() : "";
    if (!shows)
        for (const handoff::AggregateReports::Report& report : reply->reports())
            text += (json ? inquiry::report_json(report) : inquiry::report_line(report)) + "\n";
    if (text.empty() && !json)
        text = "There is none.\n";
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

}  // namespace

int reports(std::span<char*> args) { return guarded("posthorn reports", run_reports, args); }

}  // namespace posthorn::commands
