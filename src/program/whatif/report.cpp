#include "whatif/report.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "migrate/sandbox.hpp"

#include <fmt/format.h>

namespace posthorn::whatif {

namespace {

struct Sum {
    std::size_t questions = 0;
    std::uint64_t times = 0;
};

Sum sum_of(const std::vector<Group>& groups)
{
    Sum sum;
    for (const Group& group : groups) {
        sum.questions += group.questions;
        sum.times += group.times;
    }
    return sum;
}

std::string count(std::uint64_t number, std::string_view one, std::string_view many)
{
    return fmt::format("{} {}", number, number == 1 ? one : many);
}

/// What neither copy was asked about, whatever the log has.
std::string left_out()
{
    return fmt::format(
        "{}; content filters; DATA and what comes behind it; aliases and .forward files of local delivery; which name an unverified client's address "
        "has",
        migrate::left_out_text());
}

std::string heading(Group::Kind kind)
{
    switch (kind) {
    case Group::Kind::refused: return "Taken now, would be refused";
    case Group::Kind::let_in: return "Refused now, would be let in";
    case Group::Kind::other_way: return "Would go another way";
    case Group::Kind::other_words: return "Would be refused with other words";
    }
    return {};
}

std::string client_name(const LogQuestion& question)
{
    return question.local ? "" : question.client.name == migrate::Client().name ? "unknown" : question.client.name;
}

std::string client_text(const LogQuestion& question)
{
    if (question.local)
        return "local";
    std::string text = fmt::format("{}[{}]", client_name(question), question.client.address);
    if (!question.helo.empty())
        text += " " + question.helo;
    if (!question.login.empty())
        text += " as " + question.login;
    return text;
}

std::string change_text(std::string_view title, const std::vector<Change>& changes)
{
    std::string text;
    for (const Change& change : changes) {
        if (change.before)
            text += fmt::format("  - {} = {}\n", change.name, *change.before);
        if (change.after)
            text += fmt::format("  + {} = {}\n", change.name, *change.after);
    }
    return text.empty() ? text : fmt::format("{}\n{}", title, text);
}

std::string service_text(const std::vector<Change>& changes)
{
    std::string text;
    for (const Change& change : changes) {
        if (change.before)
            text += fmt::format("  - {}\n", *change.before);
        if (change.after)
            text += fmt::format("  + {}\n", *change.after);
    }
    return text.empty() ? text : "master.cf\n" + text;
}

std::string file_text(const std::vector<Change>& changes)
{
    std::string text;
    for (const Change& change : changes)
        text += fmt::format("  {} {}\n", !change.before ? "+" : !change.after ? "-" : "*", change.name);
    return text.empty() ? text : "Files (* changed)\n" + text;
}

std::string group_text(const Group& group, std::string_view before, std::string_view after)
{
    // Strangers choose what stands in it, and a terminal may obey.
    std::string text = fmt::format("  {} {}\n  {} {}\n", before, printable(group.before, true), after, printable(group.after, true));
    for (const Answered* one : group.samples)
        text += fmt::format("    {:>7} {} <{}> to <{}>\n", one->question.times(), printable(client_text(one->question), true),
                            printable(one->question.sender, true), printable(one->question.recipient, true));
    if (group.questions > group.samples.size())
        text += fmt::format("            and {} more\n", group.questions - group.samples.size());
    return text;
}

std::string differences_text(const std::vector<Group>& groups)
{
    std::string text;
    for (const Group& group : groups)
        text += fmt::format("\n{}: {} in the log, {}\n{}", heading(group.kind), count(group.times, "time", "times"),
                            count(group.questions, "question", "questions"), group_text(group, "now: ", "then:"));
    return text;
}

std::string logged_text(const std::vector<Group>& groups)
{
    std::string text;
    for (const Group& group : groups)
        text += fmt::format("  {}, {}\n{}", count(group.times, "time", "times"), count(group.questions, "question", "questions"),
                            group_text(group, "log: ", "now: "));
    return text.empty() ? text
                        : "\nThe configuration in force answers otherwise today than the log has it (lists, the DNS, what is not asked):\n" + text;
}

std::string change_json(const std::vector<Change>& changes)
{
    std::string list;
    for (const Change& change : changes)
        list += fmt::format("{}{{\"name\": {}, \"now\": {}, \"then\": {}}}", list.empty() ? "" : ", ", json_text(change.name),
                            change.before ? json_text(*change.before) : "null", change.after ? json_text(*change.after) : "null");
    return list;
}

std::string group_json(const std::vector<Group>& groups, std::string_view before, std::string_view after)
{
    std::string list;
    for (const Group& group : groups) {
        std::string samples;
        for (const Answered* one : group.samples) {
            const LogQuestion& question = one->question;
            samples += fmt::format(
                "{}{{\"times\": {}, \"local\": {}, \"client_name\": {}, \"client_address\": {}, \"helo\": {}, \"login\": {}, \"sender\": {}, "
                "\"recipient\": {}}}",
                samples.empty() ? "" : ", ", question.times(), question.local, json_text(client_name(question)), json_text(question.client.address),
                json_text(question.helo), json_text(question.login), json_text(question.sender), json_text(question.recipient));
        }
        list += fmt::format("{}{{\"kind\": {}, \"{}\": {}, \"{}\": {}, \"times\": {}, \"questions\": {}, \"samples\": [{}]}}",
                            list.empty() ? "" : ", ", json_text(to_text(group.kind)), before, json_text(group.before), after, json_text(group.after),
                            group.times, group.questions, samples);
    }
    return list;
}

std::string strings_json(const std::vector<std::string>& strings)
{
    std::string list;
    for (const std::string& one : strings)
        list += (list.empty() ? "" : ", ") + json_text(one);
    return list;
}

}  // namespace

std::size_t differing_answers(const Report& report) { return sum_of(differences(report.comparison)).questions; }

std::string as_text(const Report& report)
{
    const std::vector<Group> groups = differences(report.comparison);
    const Sum differ = sum_of(groups);
    std::string text = fmt::format("now:  {}\nthen: {}\n", report.now, report.next);
    text += change_text("main.cf", report.changes.parameters) + service_text(report.changes.services) + file_text(report.changes.files);
    for (const std::string& remark : report.changes.remarks)
        text += fmt::format("Note: {}\n", remark);
    text += differences_text(groups);
    const std::size_t asked = report.comparison.answers.size();
    text += fmt::format("\n{} asked, which stand in the log {}; ", count(asked, "question", "questions"),
                        count(report.comparison.times(), "time", "times"));
    text += differ.questions == 0 ? "no answer differs\n"
                                  : fmt::format("{}, {} in the log\n", count(differ.questions, "answer differs", "answers differ"),
                                                count(differ.times, "time", "times"));
    for (const auto& [reason, times] : report.comparison.not_asked)
        text += fmt::format("Not asked, {}: {}\n", count(times, "time", "times"), reason);
    for (const std::string& unread : report.unread)
        text += fmt::format("Not read: {}\n", unread);
    text += fmt::format("Not asked: {}.\n", left_out());
    return text + logged_text(otherwise_than_logged(report.comparison));
}

std::string as_json(const Report& report)
{
    const std::vector<Group> groups = differences(report.comparison);
    const Sum differ = sum_of(groups);
    std::string not_asked;
    for (const auto& [reason, times] : report.comparison.not_asked)
        not_asked += fmt::format("{}{}: {}", not_asked.empty() ? "" : ", ", json_text(reason), times);
    return fmt::format(
        "{{\"now\": {}, \"then\": {}, \"parameters\": [{}], \"services\": [{}], \"files\": [{}], \"remarks\": [{}], \"asked\": {}, \"times\": {}, "
        "\"differ\": {}, \"differ_times\": {}, \"groups\": [{}], \"otherwise_than_logged\": [{}], \"not_asked\": {{{}}}, \"left_out\": {}, "
        "\"unread\": [{}]}}\n",
        json_text(report.now), json_text(report.next), change_json(report.changes.parameters), change_json(report.changes.services),
        change_json(report.changes.files), strings_json(report.changes.remarks), report.comparison.answers.size(), report.comparison.times(),
        differ.questions, differ.times, group_json(groups, "now", "then"), group_json(otherwise_than_logged(report.comparison), "log", "now"),
        not_asked, json_text(left_out()), strings_json(report.unread));
}

}  // namespace posthorn::whatif
