#include "report/explanations.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "config/snapshot.hpp"
#include "handoff/reasons.hpp"
#include "handoff/record.hpp"
#include "peers/bounce_classes.hpp"
#include "report/params.hpp"

#include <fmt/format.h>

#include <map>
#include <tuple>

namespace posthorn::report {

using handoff::ReportRequest;
using handoff::Verdict;
using tables::Answer;

namespace {

constexpr std::size_t longest_class = 64;        // as in records
constexpr int between_turns = 50;                // recipients, of which each may cost some dozen patterns: then others of this loop have theirs
/// The domain of a key comes from strangers, and a text is expanded: nothing of a key gets into it.
constexpr tables::Flags text_flags{.substitute = false};
constexpr std::string_view class_parameter = "bounce_classification_maps";

/// Of one question. It may end long after who asked has gone on.
struct Question {
    explicit Question(const Executor& executor) : told(executor) {}
    Signal told;
    std::optional<Answer> answer;
};

awaitable<void> put(std::shared_ptr<tables::Table> table, std::string key, std::shared_ptr<Question> question)
{
    question->answer = co_await table->lookup(std::move(key));
    question->told.notify_all();
}

std::vector<std::pair<std::string, std::shared_ptr<tables::Table>>> text_tables(const config::Snapshot& snapshot, tables::Tables& tables)
{
    std::vector<std::pair<std::string, std::shared_ptr<tables::Table>>> found;
    const std::string list = snapshot.get(bounce_explanation_maps);
    for (const std::string_view item : config::split_grouped(list))
        found.emplace_back(item, item == "shipped" ? nullptr : tables.open(item, text_flags));
    return found;
}

std::vector<std::string> faulty_languages(std::string_view list)
{
    std::vector<std::string> found;
    for (const std::string_view word : config::split_grouped(list))
        if (!is_language_tag(word))
            found.push_back(fmt::format("{}: {}: neither sender nor a tag like de or pt-BR", bounce_explanation_languages.name, word));
    return found;
}

void add_faults(std::vector<std::string>& faults, const std::string& name, tables::Table& table,
                const std::function<std::optional<std::string>(std::string_view)>& parameter)
{
    if (const auto broken = table.broken())
        faults.push_back(fmt::format("{}: {}: {}", bounce_explanation_maps.name, name, broken->text()));
    (void)table.visit([&](std::string_view key, std::string_view text) {          // an Error: of a kind that cannot tell what it has
        if (const auto fault = fault_of_explanation(key, text, parameter))
            faults.push_back(fmt::format("{}: {}: {}: {}", bounce_explanation_maps.name, name, printable(key, true), *fault));
    });
}

}  // namespace

struct Explanations::Round {
    const ReportRequest& request;
    const Options& options;
    std::chrono::steady_clock::time_point end;
    std::set<const Source*> failed;
    bool late = false;
};
struct Explanations::Text {
    std::string text, key;
    const Source* source = nullptr;          // none: nothing is said
};

Explanations::Explanations(const config::Snapshot& snapshot, tables::Tables& tables, TaskGroup& tasks, std::chrono::milliseconds patience)
    : languages_(snapshot.get(bounce_explanation_languages)), parameter_(template_parameters(snapshot)), tasks_(tasks), log_(tables.site().log),
      patience_(patience)
{
    for (auto& [name, table] : text_tables(snapshot, tables))
        sources_.push_back({std::move(name), std::move(table)});
    if (sources_.empty())
        return;
    const std::string classes = peers::with_shipped_classes(snapshot.text(class_parameter));
    for (const std::string_view item : config::split_grouped(classes))
        classes_.push_back({std::string(item.substr(0, 60)), tables.open(item)});
}

std::vector<std::string> Explanations::faults() const
{
    std::vector<std::string> found = faulty_languages(languages_);
    for (const Source& source : sources_)
        if (source.table)
            add_faults(found, source.name, *source.table, parameter_);
    return found;
}

std::vector<std::string> explanation_faults(const config::Snapshot& snapshot, tables::Tables& tables)
{
    std::vector<std::string> found = faulty_languages(snapshot.get(bounce_explanation_languages));
    for (const auto& [name, table] : text_tables(snapshot, tables))
        if (table)
            add_faults(found, name, *table, template_parameters(snapshot));
    return found;
}

void Explanations::warn(Round& round, const Source& source, std::string_view parameter, std::string_view key, std::string_view why) const
{
    log_.warning("{}: {}: {}: \"{}\": {}", round.request.envelope().queue_id(), parameter, source.name, printable(key, true), why);
}

awaitable<Answer> Explanations::ask(Round& round, const Source& source, const std::string& key)
{
    if (!source.table) {
        const auto found = shipped_explanation(key);
        co_return found ? Answer(std::string(*found)) : Answer(std::nullopt);
    }
    if (source.table->in_memory())
        co_return source.table->find(key);
    const auto question = std::make_shared<Question>(tasks_.executor());
    tasks_.spawn(put(source.table, key, question));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(round.end - std::chrono::steady_clock::now());
    if (!question->answer && left.count() > 0)
        co_await question->told.wait_for(left);
    if (std::optional<Answer> answer = std::move(question->answer))
        co_return *std::move(answer);
    round.late = true;
    co_return Error{"no answer in time"};
}

awaitable<std::string> Explanations::classification(Round& round, const Verdict& verdict)
{
    if (!verdict.classification().empty())
        co_return verdict.classification();
    const std::string key = handoff::classification_key(verdict);
    for (const Source& source : classes_) {
        if (round.failed.contains(&source) || round.late)
            break;
        const Answer answer = co_await ask(round, source, key);
        if (!answer) {
            warn(round, source, class_parameter, key, answer.error().text());
            round.failed.insert(&source);
            break;
        }
        if (const std::optional<std::string>& name = *answer; name && !name->empty())
            co_return name->substr(0, longest_class);
    }
    const std::string_view by_status = handoff::bounce_class(handoff::reason_of(verdict));
    co_return std::string(by_status == "Uncategorized" && verdict.outcome() == handoff::OUTCOME_EXPIRED ? "MessageExpired" : by_status);
}

/// A table that has failed may have had a text, or have said that there is none: the ones behind it are not asked in its place.
awaitable<Explanations::Text> Explanations::find(Round& round, const std::vector<std::string>& keys)
{
    for (const Source& source : sources_)
        for (const std::string& key : keys) {
            if (round.failed.contains(&source) || round.late)
                co_return Text{};
            const Answer answer = co_await ask(round, source, key);
            if (!answer) {
                warn(round, source, bounce_explanation_maps.name, key, answer.error().text());
                round.failed.insert(&source);
                co_return Text{};
            }
            const std::optional<std::string>& said = *answer;
            if (!said)
                continue;
            const std::string_view text = trim(*said);
            if (text.empty() || text == no_explanation)
                co_return Text{};
            co_return Text{std::string(text), key, &source};
        }
    co_return Text{};
}

awaitable<std::vector<std::string>> Explanations::of(const ReportRequest& request, const Options& options)
{
    std::vector<std::string> texts;
    const bool told = request.kind() == ReportRequest::FAILURE || request.kind() == ReportRequest::DELAY;
    if (sources_.empty() || !told || request.envelope().sender().empty())
        co_return texts;
    Round round{request, options, std::chrono::steady_clock::now() + patience_, {}};
    const std::vector<std::string> languages = explanation_languages(languages_, request.header());
    std::map<std::tuple<std::string, std::string, std::string>, Text> found;          // by class, status and domain
    std::set<const Text*> faulty;
    for (int at = 0; at < request.verdicts_size(); ++at) {
        if (at % between_turns == between_turns - 1)
            co_await sleep_for(std::chrono::milliseconds{0});
        std::string& text = texts.emplace_back();
        const Verdict& verdict = request.verdicts(at);
        const std::string domain = domain_of_recipient(request, static_cast<std::size_t>(at));
        const std::string name = co_await classification(round, verdict);
        const auto [place, fresh] = found.try_emplace({name, verdict.status(), domain});
        if (fresh) {
            const Cause cause{name, verdict.status(), request.kind() == ReportRequest::DELAY};
            place->second = co_await find(round, explanation_keys(cause, domain, languages));
        }
        const Text& what = place->second;
        if (what.source == nullptr || faulty.contains(&what))
            continue;
        auto expanded = expand_explanation(what.text, request, static_cast<std::size_t>(at), options);
        if (expanded)
            text = *std::move(expanded);
        else {
            faulty.insert(&what);
            warn(round, *what.source, bounce_explanation_maps.name, what.key, expanded.error().text());
        }
    }
    co_return texts;
}

}  // namespace posthorn::report
