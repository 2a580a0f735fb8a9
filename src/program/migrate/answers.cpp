#include "migrate/answers.hpp"

#include "async/run.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "cleanup/cleaner.hpp"
#include "migrate/quiet.hpp"
#include "route/router.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <thread>

namespace posthorn::migrate {

using namespace std::chrono_literals;

namespace {

std::string joined(const std::set<std::string>& parts) { return fmt::format("{}", fmt::join(parts, "; ")); }

std::string resolution(std::string_view transport, std::string_view nexthop, std::string_view address)
{
    return fmt::format("{} {} {}", transport, nexthop.empty() ? "-" : nexthop, address);
}

/// The text of a failure without its status: Postfix's queue manager takes that away before the service sees it.
std::string_view without_status(const handoff::Route& route)
{
    const std::string_view text = route.nexthop();
    const std::size_t blank = text.find(' ');
    if ((route.transport() != "error" && route.transport() != "retry") || blank == text.npos || blank < 5 || !is_digit(text.front()))
        return text;
    const bool status = std::ranges::all_of(text.substr(0, blank), [](char c) { return is_digit(c) || c == '.'; });
    return status ? text.substr(blank + 1) : text;
}

config::Snapshot config_for(const Survey& survey, const config::MasterCf& master_cf, std::string_view service)
{
    for (const config::ServiceLine& line : master_cf.services)
        if (line.name == service && line.type != config::Transport::inet)
            return survey.snapshot.for_service(line.name, line.command, line.overrides, master_cf.path);
    return survey.snapshot;
}

/// The value behind "NAME=<" up to its ">", where the line has it.
std::optional<std::string_view> bracketed(std::string_view line, std::string_view name)
{
    const std::size_t at = line.find(name);
    if (at == line.npos)
        return {};
    const std::string_view rest = line.substr(at + name.size());
    const std::size_t end = rest.find(">,");
    return end == rest.npos ? std::optional<std::string_view>{} : rest.substr(0, end);
}

/// Whether each message that pickup took has come to an end: gone, or not taken by cleanup, which a table failed.
bool all_ended(std::string_view log, std::size_t messages)
{
    std::set<std::string, std::less<>> taken, ended;
    for (const std::string_view line : split(log, "\n")) {
        const std::size_t tag = line.find("]: ");
        if (tag == line.npos)
            continue;
        std::string_view said = line.substr(tag + 3);
        if (said.starts_with("warning: "))
            said.remove_prefix(9);
        const std::string_view id = said.substr(0, said.find(':'));
        if (line.find("/pickup[") != line.npos && said.find(": uid=") != said.npos)
            taken.emplace(id);
        if (said.ends_with(": removed") || said.find("lookup problem for ") != said.npos)
            ended.emplace(id);
    }
    return taken.size() >= messages && std::ranges::includes(ended, taken);
}

/// Asks about up to `at_once` addresses in one message, and waits until each message is gone. `messages`: how many were sent so far.
Result<void> verify_all(const Sandbox& box, const PostfixPrograms& programs, const std::vector<std::string>& addresses, std::size_t at_once,
                        std::size_t& messages)
{
    for (std::size_t from = 0; from < addresses.size(); from += at_once, ++messages) {
        std::vector<std::string> words{programs.commands + "/sendmail", "-bv", "-f", "someone@example.org", "--"};
        words.insert(words.end(), addresses.begin() + static_cast<std::ptrdiff_t>(from),
                     addresses.begin() + static_cast<std::ptrdiff_t>(std::min(from + at_once, addresses.size())));
        if (const int status = box.run(std::move(words)); status != 0)
            return Error{fmt::format("Postfix's sendmail -bv: exit status {}: {}", status, box.last_words())};
    }
    for (const auto end = std::chrono::steady_clock::now() + 120s; !all_ended(box.log(), messages); std::this_thread::sleep_for(50ms))
        if (std::chrono::steady_clock::now() > end)
            return Error{fmt::format("Postfix's private copy did not answer within 120 seconds: {}", box.last_words())};
    return {};
}

constexpr std::string_view no_answer = "no answer in the log";

}  // namespace

std::vector<std::string> our_resolutions(const Survey& survey, const std::vector<std::string>& addresses)
{
    std::vector<RouteQuestion> questions;
    for (const std::string& address : addresses)
        questions.push_back({"someone@example.org", address});
    return our_resolutions(survey, questions);
}

std::vector<std::string> our_resolutions(const Survey& survey, const std::vector<RouteQuestion>& questions, std::optional<SteadyTime> end)
{
    static SystemClock clock;
    asio::io_context loop;
    const observe::Log log = quiet_log();
    for (const TableState& table : survey.tables)
        tables::open_libraries(table.spec);
    tables::Tables all(log, clock);
    const config::Snapshot& snapshot = survey.snapshot;
    all.set_parameters([&](const std::string& name) -> std::optional<std::string> {
        return snapshot.as_written(name) ? std::optional{snapshot.text(name)} : std::nullopt;
    });
    const auto master_cf = config::read_master_cf(survey.directory + "/master.cf");
    const auto rewrite = config_for(survey, *master_cf, "rewrite"), cleaning = config_for(survey, *master_cf, "cleanup");
    const auto interfaces = config::this_host("migrate").addresses;
    tables::DirectOpener opener;
    route::Router router(route::Options::from(rewrite, interfaces, opener), route::Resolver::Purpose::mail, all);
    cleanup::Cleaner cleaner(cleanup::Options::from(cleaning, interfaces, opener, {}), all, log);
    std::vector<std::string> answers;
    for (const auto& [sender, address] : questions) {
        if (end && clock.steady() > *end) {
            answers.emplace_back();
            continue;
        }
        const auto expanded = run(loop, cleaner.expanded(address), 60s);
        if (!expanded) {
            answers.push_back("not taken: " + expanded.error().text());
            continue;
        }
        const auto routes = run(loop, router.route(sender, *expanded), 60s);
        if (!routes) {
            answers.push_back("try later: " + routes.error().text());
            continue;
        }
        std::set<std::string> parts;
        for (const handoff::Route& route : *routes)
            parts.insert(resolution(route.transport(), without_status(route), route.address()));
        answers.push_back(joined(parts));
    }
    return answers;
}

std::vector<std::string> logged_resolutions(std::string_view log, const std::vector<std::string>& addresses)
{
    std::map<std::string, std::set<std::string>, std::less<>> by_address;
    for (const std::string_view line : split(log, "\n")) {
        const auto to = bracketed(line, ": to=<");
        const std::size_t status = line.find(", status=");
        if (!to || status == line.npos)
            continue;
        const auto original = bracketed(line, ", orig_to=<");
        std::string_view text = line.substr(line.find(" (", status) == line.npos ? line.size() : line.find(" (", status) + 2);
        if (text.ends_with(')'))
            text.remove_suffix(1);
        static constexpr std::string_view ours = " posthorn-asks/";
        const std::size_t tag = line.find(ours);
        std::string part;
        if (tag != line.npos) {
            const std::string_view service = line.substr(tag + ours.size(), line.find("/discard[") - tag - ours.size());
            part = resolution(service, text, *to);
        } else {
            part = fmt::format("{} ({})", line.substr(status + 9, line.find(' ', status + 2) - status - 9), text);
        }
        by_address[std::string(original.value_or(*to))].insert(part);
    }
    std::vector<std::string> answers;
    for (const std::string& address : addresses) {
        auto found = by_address.find(address);
        // Where rewriting changed nothing but the form, the log has the new form alone.
        if (found == by_address.end())
            found = std::ranges::find_if(by_address,
                                         [&](const auto& one) { return iequals(one.first, address) || one.first.starts_with(address + "@"); });
        answers.push_back(found == by_address.end() ? std::string(no_answer) : joined(found->second));
    }
    return answers;
}

std::size_t Comparison::differ() const
{
    std::size_t count = 0;
    if (!alone.empty())
        return count;
    for (std::size_t i = 0; i < questions.addresses.size(); ++i)
        count += ours.resolutions[i] != theirs.resolutions[i];
    for (std::size_t i = 0; i < questions.rcpts.size(); ++i)
        count += ours.rcpts[i] != theirs.rcpts[i];
    return count;
}

Result<Comparison> compare_answers(const Survey& survey, Questions questions, const std::string& postfix_root)
{
    Comparison comparison;
    comparison.questions = std::move(questions);
    const auto programs = PostfixPrograms::find(postfix_root);
    if (!programs)
        comparison.alone = programs.error().text();
    else if (::geteuid() != 0)
        comparison.alone = "a private copy of Postfix needs root";
    comparison.ours.resolutions = our_resolutions(survey, comparison.questions.addresses);
    {
        TRY(const auto box, Sandbox::start(survey, nullptr));
        comparison.ours.rcpts = rcpt_answers(box->ports(), comparison.questions.rcpts);
    }
    if (!comparison.alone.empty())
        return comparison;
    TRY(const auto box, Sandbox::start(survey, &*programs));
    comparison.theirs.rcpts = rcpt_answers(box->ports(), comparison.questions.rcpts);
    const std::vector<std::string>& addresses = comparison.questions.addresses;
    std::size_t messages = 0;
    TRY_VOID(verify_all(*box, *programs, addresses, 50, messages));
    comparison.theirs.resolutions = logged_resolutions(box->log(), addresses);
    // One address that cannot be looked up spoils a message: those that got no answer are asked one by one.
    std::vector<std::string> open;
    for (std::size_t i = 0; i < addresses.size() && open.size() < 500; ++i)
        if (comparison.theirs.resolutions[i] == no_answer)
            open.push_back(addresses[i]);
    if (!open.empty()) {
        TRY_VOID(verify_all(*box, *programs, open, 1, messages));
        comparison.theirs.resolutions = logged_resolutions(box->log(), addresses);
    }
    return comparison;
}

namespace {

std::string client_text(const RcptQuestion& question)
{
    return fmt::format("client {}{}, MAIL FROM:<{}>, RCPT TO:<{}>", question.client.name == "[UNAVAILABLE]" ? "" : question.client.name + " ",
                       question.client.address, question.sender, question.recipient);
}

}  // namespace

std::string as_text(const Comparison& comparison)
{
    std::string text;
    const auto show = [&](const std::string& question, const std::string& ours, const std::string* theirs) {
        if (!theirs)
            text += fmt::format("{}\n  {}\n", question, ours);
        else if (ours != *theirs)
            text += fmt::format("DIFFERS: {}\n  Postfix:  {}\n  Posthorn: {}\n", question, *theirs, ours);
    };
    const bool both = comparison.alone.empty();
    for (std::size_t i = 0; i < comparison.questions.addresses.size(); ++i)
        show("address " + comparison.questions.addresses[i], comparison.ours.resolutions[i], both ? &comparison.theirs.resolutions[i] : nullptr);
    for (std::size_t i = 0; i < comparison.questions.rcpts.size(); ++i)
        show(client_text(comparison.questions.rcpts[i]), comparison.ours.rcpts[i], both ? &comparison.theirs.rcpts[i] : nullptr);
    for (const std::string& capped : comparison.questions.capped)
        text += fmt::format("asked in part: {}\n", capped);
    const std::size_t asked = comparison.questions.addresses.size() + comparison.questions.rcpts.size();
    text +=
        fmt::format("{} questions asked: {} addresses, {} RCPT; ", asked, comparison.questions.addresses.size(), comparison.questions.rcpts.size());
    text += both ? fmt::format("{} differ\n", comparison.differ()) : fmt::format("of Posthorn alone: {}\n", comparison.alone);
    return text + fmt::format("Not asked: {}.\n", left_out_text());
}

std::string as_json(const Comparison& comparison)
{
    const bool both = comparison.alone.empty();
    std::string answers;
    const auto add = [&](std::string question, const std::string& ours, const std::string* theirs) {
        answers += fmt::format("{}{{{}, \"posthorn\": {}, \"postfix\": {}, \"differs\": {}}}", answers.empty() ? "" : ", ", question, json_text(ours),
                               theirs ? json_text(*theirs) : "null", theirs && *theirs != ours);
    };
    for (std::size_t i = 0; i < comparison.questions.addresses.size(); ++i)
        add(fmt::format("\"address\": {}", json_text(comparison.questions.addresses[i])), comparison.ours.resolutions[i],
            both ? &comparison.theirs.resolutions[i] : nullptr);
    for (std::size_t i = 0; i < comparison.questions.rcpts.size(); ++i) {
        const RcptQuestion& question = comparison.questions.rcpts[i];
        add(fmt::format("\"client_name\": {}, \"client_address\": {}, \"sender\": {}, \"recipient\": {}", json_text(question.client.name),
                        json_text(question.client.address), json_text(question.sender), json_text(question.recipient)),
            comparison.ours.rcpts[i], both ? &comparison.theirs.rcpts[i] : nullptr);
    }
    return fmt::format("{{\"asked\": {}, \"differ\": {}, \"alone\": {}, \"answers\": [{}]}}\n",
                       comparison.questions.addresses.size() + comparison.questions.rcpts.size(), comparison.differ(), json_text(comparison.alone),
                       answers);
}

}  // namespace posthorn::migrate
