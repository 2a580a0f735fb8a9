#include "migrate/show.hpp"

#include "base/json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::migrate {

namespace {

using Kind = Finding::Kind;

std::string line_of(const Finding& finding)
{
    std::string line = "  ";
    if (!finding.place.empty())
        line += finding.place + ": ";
    if (!finding.subject.empty())
        line += finding.subject + " ";
    return line + finding.text + "\n";
}

std::string section(const std::vector<Finding>& all, Kind kind, std::string_view title)
{
    std::string text;
    for (const Finding& finding : all)
        if (finding.kind == kind)
            text += line_of(finding);
    return text.empty() ? text : fmt::format("\n{}\n{}", title, text);
}

std::string tables(const Survey& survey)
{
    if (survey.tables.empty())
        return {};
    std::string text = "\nTables\n";
    for (const TableState& table : survey.tables) {
        text += fmt::format("  {}: ", table.spec);
        if (!table.trouble.empty())
            text += "DOES NOT OPEN: " + table.trouble;
        else if (table.entries)
            text += fmt::format("{} {}", *table.entries, *table.entries == 1 ? "entry" : "entries");
        else
            text += "opens";
        text += fmt::format(" ({})\n", fmt::join(table.used_by, ", "));
        for (std::size_t i = 0; i < std::min<std::size_t>(table.warnings.size(), 3); ++i)
            text += fmt::format("    {}\n", table.warnings[i]);
        if (table.warnings.size() > 3)
            text += fmt::format("    and {} more warnings\n", table.warnings.size() - 3);
    }
    return text;
}

std::string json_findings(const std::vector<Finding>& findings)
{
    std::string text;
    for (const Finding& finding : findings)
        text += fmt::format("{}{{\"kind\": {}, \"place\": {}, \"subject\": {}, \"text\": {}}}", text.empty() ? "" : ", ",
                            json_text(to_text(finding.kind)), json_text(finding.place), json_text(finding.subject), json_text(finding.text));
    return text;
}

std::string json_list(const std::vector<std::string>& texts)
{
    std::string list;
    for (const std::string& text : texts)
        list += (list.empty() ? "" : ", ") + json_text(text);
    return list;
}

}  // namespace

std::string findings_text(const Survey& survey)
{
    std::string text;
    for (const Finding& finding : survey.findings)
        text += line_of(finding);
    for (const TableState& table : survey.tables) {
        if (!table.trouble.empty())
            text += fmt::format("  {}: {}\n", table.spec, table.trouble);
        for (const std::string& warning : table.warnings)
            text += fmt::format("  {}\n", warning);
    }
    return text;
}

std::string findings_json(const std::vector<Finding>& findings) { return json_findings(findings); }

bool differs(const Survey& survey)
{
    return !survey.findings.empty() ||
           std::ranges::any_of(survey.tables, [](const TableState& table) { return !table.trouble.empty() || !table.warnings.empty(); });
}

std::string as_text(const Survey& survey)
{
    std::string text =
        fmt::format("{}: {} parameters, {} services, {} tables\n", survey.directory, survey.parameters, survey.services, survey.tables.size());
    text += section(survey.findings, Kind::start, survey.starts ? "What a start would warn of" : "It does not start here as it is");
    text += section(survey.findings, Kind::parameter, "Parameters that are not acted on");
    text += section(survey.findings, Kind::service, "Services of master.cf that are not served as there");
    text += tables(survey);
    text += section(survey.findings, Kind::file, "Files");
    text += section(survey.notes, Kind::parameter, "Note: parameters that have nothing to decide here");
    text += section(survey.notes, Kind::service, "Note: services that have nothing to do here");
    text += section(survey.notes, Kind::needs, "Note: what it needs beside it");
    text += section(survey.notes, Kind::level, "Note: defaults by compatibility_level");
    text += section(survey.notes, Kind::version, "Note: defaults by version");
    text += "\n";
    if (!survey.starts)
        return text + "Posthorn does not start with this directory: see above. Nothing was changed.\n";
    if (!differs(survey))
        text += "Nothing differs. ";
    return text + fmt::format("Posthorn runs on this directory as it is: stop Postfix, then `posthorn -c {} start`. Nothing has to be copied.\n",
                              survey.directory);
}

std::string as_json(const Survey& survey)
{
    std::string tables;
    for (const TableState& table : survey.tables)
        tables += fmt::format("{}{{\"spec\": {}, \"used_by\": [{}], \"opens\": {}, \"entries\": {}, \"trouble\": {}, \"warnings\": [{}]}}",
                              tables.empty() ? "" : ", ", json_text(table.spec), json_list(table.used_by), table.trouble.empty(),
                              table.entries ? std::to_string(*table.entries) : "null", json_text(table.trouble), json_list(table.warnings));
    return fmt::format(
        "{{\"directory\": {}, \"starts\": {}, \"differs\": {}, \"parameters\": {}, \"services\": {}, \"findings\": [{}], \"notes\": [{}], "
        "\"tables\": [{}]}}\n",
        json_text(survey.directory), survey.starts, differs(survey), survey.parameters, survey.services, json_findings(survey.findings),
        json_findings(survey.notes), tables);
}

std::string as_text(const Taken& taken, bool in)
{
    std::string text;
    for (const Trouble& trouble : taken.troubles)
        text += fmt::format("{}: {}\n", trouble.path, trouble.reason);
    std::string queues;
    for (const auto& [queue, count] : taken.by_queue)
        queues += fmt::format("{}{} {}", queues.empty() ? "" : ", ", queue, count);
    text += fmt::format("{} {} messages for {} recipients{}\n", in ? "took over" : "gave back", taken.messages, taken.recipients,
                        queues.empty() ? "" : fmt::format(" ({} files: {})", in ? "from the queue's" : "in the queue's", queues));
    if (!taken.troubles.empty())
        text += fmt::format("{} could not be {}: see above\n", taken.troubles.size(), in ? "taken" : "given");
    if (in && !taken.by_queue.empty())
        text += fmt::format("the originals are in {}\n", taken.kept_in);
    return text;
}

std::string as_json(const Taken& taken)
{
    std::string queues, troubles;
    for (const auto& [queue, count] : taken.by_queue)
        queues += fmt::format("{}{}: {}", queues.empty() ? "" : ", ", json_text(queue), count);
    for (const Trouble& trouble : taken.troubles)
        troubles +=
            fmt::format("{}{{\"path\": {}, \"reason\": {}}}", troubles.empty() ? "" : ", ", json_text(trouble.path), json_text(trouble.reason));
    return fmt::format("{{\"messages\": {}, \"recipients\": {}, \"files\": {{{}}}, \"troubles\": [{}], \"folder\": {}}}\n", taken.messages,
                       taken.recipients, queues, troubles, json_text(taken.kept_in));
}

}  // namespace posthorn::migrate
