#include "tester/report.hpp"

#include "base/strings.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace posthorn::tester {

namespace {

std::string_view word(Outcome::Kind kind)
{
    switch (kind) {
    case Outcome::Kind::kept: return "kept";
    case Outcome::Kind::broken: return "broken";
    case Outcome::Kind::untested: return "untested";
    }
    return "";
}

bool is_broken(const Finding& finding) { return finding.outcome.kind == Outcome::Kind::broken; }

}  // namespace

std::string as_text(const Transcript& transcript, std::string_view indent)
{
    std::string text;
    for (std::size_t at = 0; at < transcript.size(); ++at) {
        const Line& line = transcript[at];
        if (line.with_next && (at == 0 || !transcript[at - 1].with_next)) {
            std::size_t last = at;
            while (last < transcript.size() && transcript[last].with_next)
                ++last;
            text += fmt::format("{}   (the next {} lines in one segment)\n", indent, last - at + 1);
        }
        text += line.who == '*' ? fmt::format("{}   <{}>\n", indent, line.text) : fmt::format("{}{}: {}\n", indent, line.who, line.text);
    }
    return text;
}

std::string as_text(const Examination& examination, const Question& question, bool all)
{
    std::string text = fmt::format("{}: {}\nannounces: {}\n\n", question.host, examination.greeting, fmt::join(examination.keywords, ", "));
    for (const Finding& finding : examination.findings)
        text += fmt::format("{:<9} {:<18} {}{}{}\n", word(finding.outcome.kind), finding.rule->section, finding.rule->says,
                            finding.outcome.seen.empty() ? "" : ": ", finding.outcome.seen);
    for (const Finding& finding : examination.findings) {
        if (!is_broken(finding) && !all)
            continue;
        text += fmt::format("\n== {}: {}\n{}", finding.rule->section, finding.rule->says, as_text(finding.transcript, "   "));
        if (is_broken(finding) && !finding.rule->workaround.empty())
            text += fmt::format("   workaround: {}\n", finding.rule->workaround);
    }
    return text;
}

std::string as_json(const Examination& examination, const Question& question)
{
    namespace json = boost::json;
    json::object out{{"host", question.host}, {"greeting", examination.greeting}, {"kept", examination.kept()}};
    out["keywords"] = json::array(examination.keywords.begin(), examination.keywords.end());
    json::array rules;
    for (const Finding& finding : examination.findings) {
        json::object rule{
            {"rule", finding.rule->id}, {"section", finding.rule->section}, {"says", finding.rule->says}, {"outcome", word(finding.outcome.kind)}};
        if (!finding.outcome.seen.empty())
            rule["seen"] = finding.outcome.seen;
        if (is_broken(finding) && !finding.rule->workaround.empty())
            rule["workaround"] = finding.rule->workaround;
        json::array lines;
        for (const Line& line : finding.transcript)
            lines.push_back(json::object{{"who", line.who == 'S'   ? "server"
                                                 : line.who == 'C' ? "client"
                                                                   : "remark"},
                                         {"text", line.text},
                                         {"with_next", line.with_next}});
        rule["transcript"] = std::move(lines);
        rules.push_back(std::move(rule));
    }
    out["rules"] = std::move(rules);
    return json::serialize(out) + "\n";
}

std::string bug_report(const Examination& examination, const Question& question)
{
    const auto count = std::ranges::count_if(examination.findings, is_broken);
    if (count == 0)
        return {};
    std::string text = fmt::format("To: postmaster at {}\nSubject: SMTP server {} does not follow {}\n\n"
                                   "Your mail server greets with\n\n   {}\n\n"
                                   "and was found to differ from the standard in {} {}. Each is shown by a short session; no mail was sent.\n",
                                   question.host, question.host, std::ranges::find_if(examination.findings, is_broken)->rule->section,
                                   examination.greeting, count, count == 1 ? "place" : "places");
    for (const Finding& finding : examination.findings)
        if (is_broken(finding))
            text += fmt::format("\n{}: {}.\nSeen: {}.\n\n{}", finding.rule->section, finding.rule->says, finding.outcome.seen,
                                as_text(finding.transcript, "   "));
    text += "\nOther servers that speak to yours have to work around this; please see whether an update or a setting of the server,\n"
            "or of a proxy or firewall in front of it, mends it.\n";
    return text;
}

}  // namespace posthorn::tester
