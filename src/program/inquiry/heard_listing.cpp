#include "inquiry/heard_listing.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "inquiry/report_listing.hpp"
#include "inquiry/transcripts.hpp"
#include "ipc/client.hpp"

#include <fmt/format.h>

namespace posthorn::inquiry {

namespace {

constexpr std::int64_t microseconds_of_second = 1'000'000, seconds_of_day = 86'400;

std::string legible(std::string_view text) { return printable(text, true); }
std::string json_legible(std::string_view text) { return json_text(legible(text)); }

bool is_dmarc(std::string_view kind) { return kind == "dmarc"; }

std::string heard_counts(std::string_view kind, std::uint64_t good, std::uint64_t bad, std::uint64_t refused)
{
    if (!is_dmarc(kind))
        return fmt::format("{} sessions as the policy asks, {} not", good, bad);
    return fmt::format("{} aligned, {} not{}", good, bad, refused > 0 ? fmt::format(" ({} quarantined or rejected)", refused) : "");
}

std::string heard_place(const handoff::HeardSum::Finding& finding)
{
    return legible(finding.what()) + (finding.ours() ? " (ours)" : "") + (finding.where().empty() ? "" : " at " + legible(finding.where()));
}

std::string_view plural_end(std::uint64_t count) { return count == 1 ? "" : "s"; }

}  // namespace

Result<handoff::HeardReply> ask_reports(const config::Snapshot& snapshot, handoff::HeardCommand command, Until until)
{
    if (snapshot.text("report_addresses").empty())
        return Error{"no reports of others are taken: report_addresses is empty", "4.3.0"};
    const std::string socket = fmt::format("{}/{}", snapshot.text("queue_directory"), handoff::reports_socket);
    auto connected = ipc::connect_unix(socket);
    if (!connected)
        return Error{fmt::format("{}: {}: is the mail system running, and has it been reloaded since report_addresses was set?", socket,
                                 connected.error().text()),
                     "4.3.0"};
    ipc::ChannelOptions options;
    options.name = "reports";
    return ask<handoff::HeardReply>(*std::move(connected), limited(options, until), handoff::Frame::heard, std::move(command));
}

std::string heard_line(const handoff::HeardSum& sum)
{
    const bool act = sum.findings_size() > 0 && sum.findings(0).act();
    std::string line = fmt::format("{} {:<5}  {}: {}; {} report{}", act ? '!' : ' ', sum.kind(), legible(sum.domain()),
                                   heard_counts(sum.kind(), sum.good(), sum.bad(), sum.refused()), sum.reports(), plural_end(sum.reports()));
    if (act)
        line += fmt::format("; {}: {} fail{}", heard_place(sum.findings(0)), sum.findings(0).bad(), sum.findings(0).bad() == 1 ? "s" : "");
    return line;
}

std::string heard_text(const handoff::HeardSum& sum)
{
    std::string text =
        fmt::format("{} {}: {}; {} report{}{}\n", sum.kind(), legible(sum.domain()), heard_counts(sum.kind(), sum.good(), sum.bad(), sum.refused()),
                    sum.reports(), plural_end(sum.reports()), sum.policy().empty() ? "" : "; policy " + legible(sum.policy()));
    for (const handoff::HeardSum::Day& day : sum.days())
        text += fmt::format("    {}  {}\n", utc_date(day.day()), heard_counts(sum.kind(), day.good(), day.bad(), 0));
    for (const handoff::HeardSum::Finding& finding : sum.findings()) {
        const std::string numbers = is_dmarc(sum.kind()) ? heard_counts(sum.kind(), finding.good(), finding.bad(), finding.refused())
                                                         : fmt::format("{} session{}", finding.bad(), plural_end(finding.bad()));
        text += fmt::format("  {} {}: {}; from {} organization{}\n      {}\n", finding.act() ? '!' : ' ', heard_place(finding), numbers,
                            finding.organizations(), plural_end(finding.organizations()), legible(finding.advice()));
    }
    if (sum.more_findings() > 0)
        text += fmt::format("    and {} more\n", sum.more_findings());
    return text;
}

std::string heard_json(const handoff::HeardSum& sum)
{
    std::string days, findings;
    for (const handoff::HeardSum::Day& day : sum.days())
        days += fmt::format("{}{{\"day\": \"{}\", \"good\": {}, \"bad\": {}}}", days.empty() ? "" : ", ", utc_date(day.day()), day.good(), day.bad());
    for (const handoff::HeardSum::Finding& one : sum.findings())
        findings += fmt::format(
            "{}{{\"act\": {}, \"what\": {}, \"ours\": {}, \"where\": {}, \"good\": {}, \"bad\": {}, \"refused\": {}, \"organizations\": {}, "
            "\"advice\": {}}}",
            findings.empty() ? "" : ", ", one.act(), json_legible(one.what()), one.ours(), json_legible(one.where()), one.good(), one.bad(),
            one.refused(), one.organizations(), json_legible(one.advice()));
    return fmt::format("{{\"kind\": {}, \"domain\": {}, \"policy\": {}, \"good\": {}, \"bad\": {}, \"refused\": {}, \"reports\": {}, \"days\": [{}], "
                       "\"findings\": [{}], \"more_findings\": {}}}",
                       json_legible(sum.kind()), json_legible(sum.domain()), json_legible(sum.policy()), sum.good(), sum.bad(), sum.refused(),
                       sum.reports(), days, findings, sum.more_findings());
}

std::string heard_line(const handoff::HeardReport& report)
{
    std::string line =
        fmt::format("{:>5}  {}  {:<5}  {}: {}: {}", report.id(), utc_date(report.arrived() / seconds_of_day), report.kind(), legible(report.domain()),
                    legible(report.organization()), heard_counts(report.kind(), report.good(), report.bad(), 0));
    return line + fmt::format("; From {} ({})", legible(report.author()), report.proof().empty() ? "not checked" : legible(report.proof()));
}

std::string heard_text(const handoff::HeardReport& report)
{
    const auto time = [](std::int64_t seconds) { return seconds == 0 ? std::string("?") : local_time(seconds * microseconds_of_second); };
    std::string text =
        fmt::format("{} {}: {}\n", report.kind(), legible(report.domain()), heard_counts(report.kind(), report.good(), report.bad(), 0));
    for (const auto& [name, value] : {std::pair<std::string_view, std::string>{"says", legible(report.organization())},
                                      {"contact", legible(report.contact())},
                                      {"its id", legible(report.report())},
                                      {"of", time(report.begin()) + " to " + time(report.end())},
                                      {"policy", legible(report.policy())},
                                      {"came", time(report.arrived()) + " as " + legible(report.queue_id())},
                                      {"from", legible(report.author()) + ", envelope <" + legible(report.sender()) + ">"},
                                      {"proved", report.proof().empty() ? "not checked" : legible(report.proof())}})
        if (!value.empty())
            text += fmt::format("  {:<8}  {}\n", name, value);
    std::uint64_t told = report.left_out();
    for (const handoff::HeardReport::Row& row : report.rows()) {
        text += fmt::format("  {} {:>7}  {}\n", row.good() ? ' ' : '-', row.count(), legible(row.text()));
        told += row.count();
    }
    if (report.left_out() > 0)
        text += fmt::format("    {:>7}  without a row of their own\n", report.left_out());
    if (told < report.good() + report.bad())
        text += fmt::format("    {:>7}  more\n", report.good() + report.bad() - told);
    return text;
}

std::string heard_json(const handoff::HeardReport& report)
{
    std::string rows;
    for (const handoff::HeardReport::Row& row : report.rows())
        rows += fmt::format("{}{{\"good\": {}, \"count\": {}, \"text\": {}}}", rows.empty() ? "" : ", ", row.good(), row.count(),
                            json_legible(row.text()));
    return fmt::format(
        "{{\"id\": {}, \"kind\": {}, \"domain\": {}, \"organization\": {}, \"contact\": {}, \"report\": {}, \"author\": {}, \"sender\": {}, "
        "\"proof\": {}, \"policy\": {}, \"begin\": {}, \"end\": {}, \"arrived\": {}, \"good\": {}, \"bad\": {}, \"left_out\": {}, \"queue_id\": {}, "
        "\"rows\": [{}]}}",
        report.id(), json_legible(report.kind()), json_legible(report.domain()), json_legible(report.organization()), json_legible(report.contact()),
        json_legible(report.report()), json_legible(report.author()), json_legible(report.sender()), json_legible(report.proof()),
        json_legible(report.policy()), report.begin(), report.end(), report.arrived(), report.good(), report.bad(), report.left_out(),
        json_legible(report.queue_id()), rows);
}

}  // namespace posthorn::inquiry
