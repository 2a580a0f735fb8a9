#include "whatif/comparison.hpp"

#include "base/strings.hpp"
#include "migrate/answers.hpp"
#include "migrate/sandbox.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <tuple>

namespace posthorn::whatif {

namespace {

constexpr std::size_t sessions_at_once = 8;
constexpr std::string_view outside_of_time = "no answer within the time there is";

bool is_accepted(std::string_view reply) { return reply.starts_with('2'); }

/// A HELO that is not in the log: the name of the client, or its address.
std::string helo_for(const LogQuestion& question)
{
    if (!question.helo.empty())
        return question.helo;
    if (question.client.name != migrate::Client().name)
        return question.client.name;
    const bool six = question.client.address.find(':') != std::string::npos;
    return fmt::format("[{}{}]", six ? "IPv6:" : "", question.client.address);
}

migrate::RcptQuestion asked_of_server(const Answered& one)
{
    const LogQuestion& question = one.question;
    return {.client = question.client,
            .sender = question.sender,
            .recipient = question.recipient,
            .helo = helo_for(question),
            .esmtp = question.esmtp,
            .login = question.login,
            .service = one.service};
}

SteadyTime end_of(std::chrono::minutes round) { return SystemClock().steady() + round; }

/// The questions that are asked, in their order, and through which line.
std::vector<Answered> choose(const migrate::Survey& now, const config::MasterCf& master_cf, LogQuestions questions, std::size_t most,
                             std::map<std::string, std::uint64_t>& not_asked)
{
    const auto services = services_by_tag(now, master_cf);
    const std::string local_tag = now.snapshot.text("syslog_name") + "/pickup";
    std::vector<Answered> chosen;
    not_asked = std::move(questions.not_asked);
    for (LogQuestion& question : questions.questions) {
        const auto service = services.find(question.tag);
        if (question.local ? question.tag != local_tag : service == services.end())
            not_asked[fmt::format("of {}, which is no line of this master.cf", printable(question.tag, true))] += question.times();
        else if (chosen.size() >= most)
            not_asked[fmt::format("beyond the {} questions that are most frequent", most)] += question.times();
        else {
            std::string through = question.local ? std::string() : service->second;
            chosen.push_back({.question = std::move(question), .service = std::move(through)});
        }
    }
    return chosen;
}

/// Both copies, for as long as there is something to ask.
class Servers {
public:
    static Result<Servers> start(const migrate::Survey& now, const migrate::Survey& next, const std::vector<Answered>& answers)
    {
        std::set<std::string> lines;
        for (const Answered& one : answers)
            if (!one.question.local)
                lines.insert(one.service);
        Servers servers;
        if (lines.empty())
            return servers;
        const std::vector<std::string> services(lines.begin(), lines.end());
        TRY(servers.now_, migrate::Sandbox::start(now, nullptr, services, true));
        TRY(servers.then_, migrate::Sandbox::start(next, nullptr, services, true));
        return servers;
    }

    /// Asks both; empty where there was no time.
    void ask(std::vector<Answered>& answers, const std::vector<std::size_t>& which, std::chrono::minutes round) const
    {
        if (which.empty())
            return;
        std::vector<migrate::RcptQuestion> questions;
        for (const std::size_t i : which)
            questions.push_back(asked_of_server(answers[i]));
        const auto before = migrate::rcpt_answers(now_->ports(), questions, {sessions_at_once, end_of(round)});
        const auto after = migrate::rcpt_answers(then_->ports(), questions, {sessions_at_once, end_of(round)});
        for (std::size_t at = 0; at < which.size(); ++at)
            if (!before[at].empty() && !after[at].empty()) {
                answers[which[at]].reply_now = before[at];
                answers[which[at]].reply_then = after[at];
            }
    }

private:
    std::unique_ptr<migrate::Sandbox> now_, then_;
};

bool is_sender_dependent(const migrate::Survey& survey)
{
    return std::ranges::any_of(std::array{"sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps"}, [&](const char* name) {
        const config::Definition* written = survey.snapshot.definition(name);
        return written && !trim(written->value).empty();
    });
}

/// Each way once, though many questions may lead to it.
void ask_ways(const migrate::Survey& now, const migrate::Survey& next, std::vector<Answered>& answers, std::chrono::minutes round)
{
    const bool by_sender = is_sender_dependent(now) || is_sender_dependent(next);
    std::map<std::pair<std::string, std::string>, std::size_t> places;
    std::vector<migrate::RouteQuestion> questions;
    std::vector<std::pair<std::size_t, std::size_t>> wanted;  // answer, question
    for (std::size_t i = 0; i < answers.size(); ++i) {
        const Answered& one = answers[i];
        if (!one.question.local && !(is_accepted(one.reply_now) && is_accepted(one.reply_then)))
            continue;
        const std::string sender = by_sender ? one.question.sender : "someone@example.org";
        const auto [place, is_new] = places.try_emplace({sender, one.question.recipient}, questions.size());
        if (is_new)
            questions.push_back({sender, one.question.recipient});
        wanted.emplace_back(i, place->second);
    }
    auto before = migrate::our_resolutions(now, questions, end_of(round)), after = migrate::our_resolutions(next, questions, end_of(round));
    std::vector<std::size_t> differing;
    for (std::size_t i = 0; i < questions.size(); ++i)
        if (before[i] != after[i])
            differing.push_back(i);
    std::vector<migrate::RouteQuestion> doubtful;
    for (const std::size_t i : differing)
        doubtful.push_back(questions[i]);
    const auto before_again = migrate::our_resolutions(now, doubtful, end_of(round)),
               after_again = migrate::our_resolutions(next, doubtful, end_of(round));
    for (std::size_t at = 0; at < differing.size(); ++at)
        if (!before_again[at].empty() && !after_again[at].empty()) {
            before[differing[at]] = before_again[at];
            after[differing[at]] = after_again[at];
        }
    for (const auto& [answer, question] : wanted) {
        answers[answer].way_now = before[question];
        answers[answer].way_then = after[question];
    }
}

bool is_whole(const Answered& one)
{
    if (!one.question.local && one.reply_now.empty())
        return false;
    const bool has_way = one.question.local || (is_accepted(one.reply_now) && is_accepted(one.reply_then));
    return !has_way || (!one.way_now.empty() && !one.way_then.empty());
}

/// May `text` begin or end beside this octet? Within a longer name it is another's.
bool divides(char c) { return !is_alnum(c) && c != '.' && c != '-' && c != '_' && c != '@' && c != '+' && c != '='; }

void replace_whole(std::string& text, std::string_view from, std::string_view to)
{
    if (from.empty())
        return;
    for (std::size_t at = 0; (at = text.find(from, at)) != text.npos;) {
        const std::size_t end = at + from.size();
        // A name before the colon of a port, or at the end of a sentence, is whole.
        const bool before = at == 0 || divides(text[at - 1]);
        const bool after = end == text.size() || divides(text[end]) || (text[end] == '.' && (end + 1 == text.size() || is_space(text[end + 1])));
        if (!before || !after) {
            ++at;
            continue;
        }
        text.replace(at, from.size(), to);
        at += to.size();
    }
}

class Grouping {
public:
    void add(Group::Kind kind, std::string before, std::string after, const Answered& one)
    {
        Group& group = groups_[{kind, before, after}];
        group.kind = kind;
        group.before = std::move(before);
        group.after = std::move(after);
        group.times += one.question.times();
        ++group.questions;
        group.samples.push_back(&one);
    }
    std::vector<Group> take()
    {
        std::vector<Group> all;
        for (auto& [key, group] : groups_) {
            // Those that are equally frequent stay in their order, which is that of the comparison.
            std::ranges::sort(group.samples, [](const Answered* a, const Answered* b) {
                return a->question.times() != b->question.times() ? a->question.times() > b->question.times() : a < b;
            });
            if (group.samples.size() > most_samples)
                group.samples.resize(most_samples);
            all.push_back(std::move(group));
        }
        std::ranges::sort(all, [](const Group& a, const Group& b) {
            return a.kind != b.kind     ? a.kind < b.kind
                   : a.times != b.times ? a.times > b.times
                                        : std::tie(a.before, a.after) < std::tie(b.before, b.after);
        });
        return all;
    }

private:
    std::map<std::tuple<Group::Kind, std::string, std::string>, Group> groups_;
};

}  // namespace

std::uint64_t Comparison::times() const
{
    std::uint64_t sum = 0;
    for (const Answered& one : answers)
        sum += one.question.times();
    return sum;
}

std::map<std::string, std::string> services_by_tag(const migrate::Survey& survey, const config::MasterCf& master_cf)
{
    std::map<std::string, std::string> services;
    const config::ServiceLine* const first = migrate::server_line(master_cf, "");
    const auto tag_of = [&](const config::ServiceLine& line) {
        return survey.snapshot.for_service(line.name, line.command, line.overrides, master_cf.path).text("syslog_name") + "/smtpd";
    };
    if (first)
        services[tag_of(*first)] = first->name;
    for (const config::ServiceLine& line : master_cf.services)
        if (line.command == "smtpd" && (line.type == config::Transport::inet || line.type == config::Transport::pass))
            services.try_emplace(tag_of(line), line.name);  // who has no tag of its own is asked as the first of those that have it
    return services;
}

Result<Comparison> compare(const migrate::Survey& now, const migrate::Survey& next, LogQuestions questions, Limits limits)
{
    TRY(const auto master_cf, config::read_master_cf(now.directory + "/master.cf"));
    Comparison comparison;
    std::vector<Answered>& answers = comparison.answers;
    answers = choose(now, master_cf, std::move(questions), limits.questions, comparison.not_asked);
    {
        TRY(const Servers servers, Servers::start(now, next, answers));
        std::vector<std::size_t> which;
        for (std::size_t i = 0; i < answers.size(); ++i)
            if (!answers[i].question.local)
                which.push_back(i);
        servers.ask(answers, which, limits.round);
        std::erase_if(which, [&](std::size_t i) { return answers[i].reply_now == answers[i].reply_then; });
        servers.ask(answers, which, limits.round);
    }
    ask_ways(now, next, answers, limits.round);
    for (const Answered& one : answers)
        if (!is_whole(one))
            comparison.not_asked[std::string(outside_of_time)] += one.question.times();
    std::erase_if(answers, [](const Answered& one) { return !is_whole(one); });
    return comparison;
}

std::string_view to_text(Group::Kind kind)
{
    switch (kind) {
    case Group::Kind::refused: return "refused";
    case Group::Kind::let_in: return "let in";
    case Group::Kind::other_way: return "other way";
    case Group::Kind::other_words: return "other words";
    }
    return "";
}

std::vector<Group> differences(const Comparison& comparison)
{
    Grouping grouping;
    for (const Answered& one : comparison.answers) {
        const LogQuestion& question = one.question;
        const bool taken_now = is_accepted(one.reply_now), taken_then = is_accepted(one.reply_then);
        if (one.way_now != one.way_then)
            grouping.add(Group::Kind::other_way, in_general(one.way_now, question), in_general(one.way_then, question), one);
        else if (one.reply_now != one.reply_then && !(taken_now && taken_then))
            grouping.add(taken_now    ? Group::Kind::refused
                         : taken_then ? Group::Kind::let_in
                                      : Group::Kind::other_words,
                         in_general(one.reply_now, question), in_general(one.reply_then, question), one);
    }
    return grouping.take();
}

std::vector<Group> otherwise_than_logged(const Comparison& comparison)
{
    Grouping grouping;
    for (const Answered& one : comparison.answers) {
        const LogQuestion& question = one.question;
        const bool taken_now = is_accepted(one.reply_now);
        // Both verdicts are in the log (greylisting): either is what it has.
        if (question.local || (question.accepted > 0 && question.refused > 0) || taken_now == (question.accepted > 0))
            continue;
        const std::string logged = question.accepted > 0 ? "taken" : question.refusal;
        grouping.add(taken_now ? Group::Kind::let_in : Group::Kind::refused, in_general(logged, question), in_general(one.reply_now, question), one);
    }
    return grouping.take();
}

std::string in_general(std::string_view answer, const LogQuestion& question)
{
    std::string text(answer);
    replace_whole(text, question.recipient, "RECIPIENT");
    if (!question.local) {
        const std::string& name = question.client.name;
        const bool named = name != migrate::Client().name;
        replace_whole(text, question.sender, "SENDER");
        replace_whole(text, fmt::format("{}[{}]", named ? name : "unknown", question.client.address), "CLIENT");
        replace_whole(text, question.client.address, "ADDRESS");
        if (named)
            replace_whole(text, name, "NAME");
        replace_whole(text, fmt::format("<{}>", helo_for(question)), "<HELO>");  // "Ok" may be one
        replace_whole(text, question.login, "LOGIN");
    }
    const std::size_t at = question.recipient.rfind('@');
    if (at != std::string::npos)
        replace_whole(text, std::string_view(question.recipient).substr(at + 1), "DOMAIN");
    return text;
}

}  // namespace posthorn::whatif
