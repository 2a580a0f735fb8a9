#include "admin/routes.hpp"

#include "admin/metrics.hpp"
#include "admin/page.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "handoff/queue_id.hpp"
#include "inquiry/account_listing.hpp"
#include "inquiry/change_listing.hpp"
#include "inquiry/forecast.hpp"
#include "inquiry/heard_listing.hpp"
#include "inquiry/helper_listing.hpp"
#include "inquiry/orders.hpp"
#include "inquiry/peer_listing.hpp"
#include "inquiry/queue_action.hpp"
#include "inquiry/queue_listing.hpp"
#include "inquiry/report_listing.hpp"
#include "inquiry/transcripts.hpp"
#include "inquiry/trial_listing.hpp"
#include "schedule/orders.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::admin {

namespace {

using handoff::QueueCommand;

constexpr std::string_view json = "application/json", html = "text/html; charset=utf-8";
constexpr std::uint64_t page_entries = 100, most_entries = 2000, most_transcripts = 1000;

struct Known {
    std::string_view path;                 // "*": any piece
    Route route;
    std::string_view says;                 // of the list that /api gives
};
constexpr Known known[] = {
    {"", {Place::page, false}, ""},
    {"message/*", {Place::message_page, false}, ""},
    {"why/*", {Place::why_page, false}, ""},
    {"metrics", {Place::metrics, false}, "counters of all processes for Prometheus"},
    {"api", {Place::api_list, false}, "this list"},
    {"api/queue", {Place::queue, false}, "messages in the queue: ?limit= &after= (next of the answer before) &queue="},
    {"api/queue/*", {Place::message, false}, "a message: why it waits, and when it is tried next"},
    {"api/queue/*/transcripts", {Place::transcripts_of, false}, "sessions that were about it"},
    {"api/queue/*/*", {Place::act, true}, "delete, expire, expire-release, hold, release, requeue, flush"},
    {"api/flush", {Place::flush_queue, true}, "all that is deferred is tried now"},
    {"api/why/*", {Place::why, false}, "a queue id, an address, a domain or a site"},
    {"api/transcripts", {Place::transcripts, false}, "sessions that are kept: ?of= a queue id, address, host or site &limit="},
    {"api/sites", {Place::sites, false}, "sites with mail, and what is deferred by destination and reason: ?limit="},
    {"api/sites/*/flush", {Place::flush_site, true}, "mail for this domain is tried now"},
    {"api/orders", {Place::orders, false}, "what operators ordered for destinations, and how much it holds up"},
    {"api/orders/suspend", {Place::suspend, true}, "mail waits: ?destination= &from= &for= &reason="},
    {"api/orders/bounce", {Place::bounce, true}, "mail is returned to its senders: ?destination= &from= &for= &reason= &yes=yes (for *)"},
    {"api/orders/resume", {Place::resume, true}, "an order ends: ?destination= &from=, or ?all=yes"},
    {"api/peers", {Place::peers, false}, "what is known of servers, with evidence: ?of="},
    {"api/peers/changes", {Place::peer_changes, false}, "what servers and MX sets show otherwise than before: ?of= &since="},
    {"api/helpers", {Place::helpers, false}, "whom processes ask while mail waits, how long that takes, and who waits for them now"},
    {"api/reports", {Place::reports, false}, "daily reports that other domains ask for: what is counted, where they went: ?of= a domain"},
    {"api/reports/received", {Place::received, false}, "what others report of our domains: ?of= a domain &days="},
    {"api/trials", {Place::trials, false}, "what stricter settings would have refused, and let pass: ?of= a word &direction= in or out &since="},
    {"api/accounts", {Place::accounts, false}, "who hands mail in, how much, and what looks strange: ?of= an account"},
    {"api/accounts/*/*", {Place::order_account, true}, "hold, refuse, allow (?for=), resume, forget an account (login:NAME, uid:NUMBER): ?reason="},
    {"api/counters", {Place::counters, false}, "counters of each process"},
};

bool leads(std::string_view path, const Target& target)
{
    const auto pieces = path.empty() ? std::vector<std::string_view>{} : split_exact(path, '/');
    return std::ranges::equal(pieces, target.path, [](std::string_view piece, const std::string& said) { return piece == "*" || piece == said; });
}

/// What went wrong on the way to others. Status 4.3.0: nobody is there.
Answer trouble(const Error& error) { return http::error_answer(error.status() == "4.3.0" ? 503 : 500, error.text()); }

Answer wrong_query(std::string_view what) { return http::error_answer(400, what); }

std::optional<Answer> unknown_word(const Target& target, std::initializer_list<std::string_view> words)
{
    for (const auto& [name, value] : target.query)
        if (std::ranges::find(words, name) == words.end())
            return wrong_query(fmt::format("unknown word of the query: {}", printable(name, true)));
    return {};
}

/// None: the word is no number within the bounds.
std::optional<std::uint64_t> limit_of(const Target& target, std::uint64_t usual, std::uint64_t most)
{
    const auto word = target.word("limit");
    if (!word)
        return usual;
    const auto number = parse_number(*word);
    return number && *number >= 1 && *number <= most ? number : std::nullopt;
}

std::string joined_lines(std::string& into, std::string object)
{
    if (object.ends_with('\n'))
        object.pop_back();
    return into += (into.empty() ? "" : ",\n") + object;
}

std::string time_json(std::int64_t microseconds) { return microseconds == 0 ? "null" : fmt::format("\"{}\"", inquiry::utc_time(microseconds)); }

Answer queue_listing(const Target& target, System& system)
{
    if (auto wrong = unknown_word(target, {"limit", "after", "queue"}))
        return *std::move(wrong);
    const auto limit = limit_of(target, page_entries, most_entries);
    if (!limit)
        return wrong_query(fmt::format("limit: a number from 1 to {} is needed", most_entries));
    const auto after = target.word("after"), queue = target.word("queue");
    if (after && !parse_number(*after))
        return wrong_query("after: `next` of the answer before is needed");
    if (queue && *queue != "active" && *queue != "deferred" && *queue != "hold")
        return wrong_query("queue: active, deferred or hold is needed");
    QueueCommand command;
    command.set_verb(QueueCommand::LIST);
    command.set_offset(*limit);
    command.set_argument(after.value_or(""));
    const auto reply = system.queue(std::move(command));
    if (!reply)
        return trouble(reply.error());
    std::string messages;
    for (const handoff::QueueEntry& entry : reply->entries())
        if (!queue || entry.queue_name() == *queue)
            joined_lines(messages, inquiry::queue_json(entry));
    return {200, json,
            fmt::format("{{\"total\": {}, \"next\": {}, \"messages\": [\n{}\n]}}\n", reply->count(),
                        reply->more() ? json_text(reply->text()) : "null", messages)};
}

Answer why(const std::string& word, System& system, bool message)
{
    const inquiry::WhyAsked asked = system.why(word);
    if (!asked.why.known())
        return asked.down ? http::error_answer(503, "the mail system is down")
                          : http::error_answer(404, message ? "no such message" : "nothing is known of it");
    return {200, json, inquiry::why_json(asked.why, system.now()) + "\n"};
}

Answer transcripts_of(System& system, const std::optional<std::string>& word, std::uint64_t limit)
{
    auto kept = system.transcripts();
    if (!kept)
        return trouble(kept.error());
    if (word)
        std::erase_if(*kept, [&](const handoff::Transcript& one) { return !inquiry::concerns(one, *word); });
    if (kept->size() > limit)
        kept->erase(kept->begin(), kept->end() - static_cast<std::ptrdiff_t>(limit));
    std::string all;
    for (const handoff::Transcript& one : *kept)
        joined_lines(all, inquiry::json_of(one));
    return {200, json, fmt::format("{{\"transcripts\": [\n{}\n]}}\n", all)};
}

Answer transcripts(const Target& target, System& system)
{
    if (auto wrong = unknown_word(target, {"of", "limit"}))
        return *std::move(wrong);
    const auto limit = limit_of(target, page_entries, most_transcripts);
    if (!limit)
        return wrong_query(fmt::format("limit: a number from 1 to {} is needed", most_transcripts));
    return transcripts_of(system, target.word("of"), *limit);
}

std::string site_json(const handoff::SiteStanding& site)
{
    return fmt::format(R"({{"site": {}, "transport": {}, "window": {}, "sessions": {}, "waiting_messages": {}, "waiting_recipients": {}, )"
                       R"("dead_until": {}, "reason": {}, "not_before": {}, "set": {}, "sessions_at_most": {}, "mails_per_minute_at_most": {:.1f}, )"
                       R"("silent_until": {}, "said": {}, {}}})",
                       json_text(site.site()), json_text(site.transport()), site.window(), site.in_flight(), site.waiting_messages(),
                       site.waiting_recipients(), time_json(site.dead_until()), json_text(site.reason()), time_json(site.not_before()),
                       json_text(site.set()), site.ceiling(), site.per_minute(), time_json(site.silent_until()), json_text(site.said()),
                       inquiry::forecast_json(site));
}

Answer sites(const Target& target, System& system)
{
    if (auto wrong = unknown_word(target, {"limit"}))
        return *std::move(wrong);
    const auto limit = limit_of(target, page_entries, 1000);
    if (!limit)
        return wrong_query("limit: a number from 1 to 1000 is needed");
    const auto reply = system.sites(static_cast<std::uint32_t>(*limit));
    if (!reply)
        return trouble(reply.error());
    std::string shares, groups;
    for (const handoff::SiteStanding& site : reply->sites())
        joined_lines(shares, site_json(site));
    for (const handoff::DeferredGroup& group : reply->deferred())
        joined_lines(groups, fmt::format(R"({{"destination": {}, "reason": {}, "recipients": {}, "site": {}, "text": {}, "last": {}, "rest": {}}})",
                                         json_text(group.destination()), json_text(group.reason()), group.recipients(), json_text(group.site()),
                                         json_text(group.text()), time_json(group.last()), group.rest()));
    return {200, json,
            fmt::format("{{\"messages\": {}, \"sites\": [\n{}\n], \"deferred_groups\": {}, \"deferred\": [\n{}\n]}}\n", reply->messages(), shares,
                        reply->groups(), groups)};
}

Answer peers(const Target& target, System& system)
{
    if (auto wrong = unknown_word(target, {"of"}))
        return *std::move(wrong);
    std::vector<std::string> words;
    if (auto word = target.word("of"))
        words.push_back(*std::move(word));
    const auto found = system.peers(words);
    if (!found)
        return trouble(found.error());
    std::string records, sets, ways;
    for (const posthorn::peers::Record& record : found->records)
        joined_lines(records, inquiry::peer_json(record, system.now(), inquiry::portrait_of(found->portraits, record.peer)));
    for (const inquiry::SetKnown& set : found->sets)
        joined_lines(sets, inquiry::set_json(set, system.now()));
    for (const inquiry::WayKnown& way : found->ways)
        joined_lines(ways, inquiry::way_json(way, system.now()));
    return {200, json, fmt::format("{{\"peers\": [\n{}\n], \"sets\": [\n{}\n], \"ways\": [\n{}\n]}}\n", records, sets, ways)};
}

Answer peer_changes(const Target& target, System& system)
{
    if (auto wrong = unknown_word(target, {"of", "since"}))
        return *std::move(wrong);
    WallTime since{};
    if (const auto word = target.word("since")) {
        const auto when = inquiry::since_of(*word, system.now());
        if (!when)
            return wrong_query("since: " + when.error().what());
        since = *when;
    }
    std::vector<std::string> words;
    if (auto word = target.word("of"))
        words.push_back(*std::move(word));
    const auto found = system.peers(words);
    if (!found)
        return trouble(found.error());
    std::string changes;
    for (const inquiry::ChangeTold& told : inquiry::changes_since(found->portraits, since))
        joined_lines(changes, inquiry::change_json(told));
    return {200, json, fmt::format("{{\"changes\": [\n{}\n]}}\n", changes)};
}

Answer act(const Asked& asked, System& system)
{
    const std::string &id = asked.target.path[2], &verb = asked.target.path[3];
    const auto action = std::ranges::find(inquiry::queue_actions, std::string_view(verb), &inquiry::QueueAction::name);
    if (action == std::end(inquiry::queue_actions))
        return http::error_answer(404, "no such action");
    if (!handoff::is_queue_id(id))
        return http::error_answer(404, "no such message");
    QueueCommand command;
    command.set_verb(action->verb);
    command.add_queue_ids(id);
    command.set_argument(action->queues);
    const auto reply = system.queue(std::move(command));
    if (!reply)
        return trouble(reply.error());
    if (!reply->text().empty())
        return http::error_answer(409, trim(reply->text()));
    if (reply->count() + reply->released() == 0) {
        QueueCommand look;
        look.set_verb(QueueCommand::EXPLAIN);
        look.add_queue_ids(id);
        const auto there = system.queue(std::move(look));
        return there && there->has_explanation()
                   ? http::error_answer(409, fmt::format("nothing to do: the message is in the queue \"{}\"", there->explanation().queue_name()))
                   : http::error_answer(404, "no such message");
    }
    const std::string done =
        std::string(action->done) + (reply->released() > 0 && action->verb == QueueCommand::EXPIRE_RELEASE ? ", released from hold" : "");
    Answer answer(200, json, fmt::format("{{\"queue_id\": {}, \"done\": {}}}\n", json_text(id), json_text(done)));
    answer.log = fmt::format("{}: {} by client [{}]", id, done, asked.client);
    return answer;
}

Answer flush(const Asked& asked, System& system)
{
    QueueCommand command;
    std::string what = "all that is deferred";
    if (asked.route.place == Place::flush_queue)
        command.set_verb(QueueCommand::FLUSH);
    else {
        auto site = inquiry::flush_site(asked.target.path[2]);
        if (!site)
            return http::error_answer(400, "a destination is needed: a domain");
        what = "mail for " + printable(*site, true);
        command.set_verb(QueueCommand::FLUSH_SITE);
        command.set_argument(*std::move(site));
    }
    const auto reply = system.queue(std::move(command));
    if (!reply)
        return trouble(reply.error());
    Answer answer(200, json, fmt::format("{{\"scheduled\": {}}}\n", reply->count()));
    answer.log = fmt::format("{}: {} messages scheduled for delivery by client [{}]", what, reply->count(), asked.client);
    return answer;
}

std::string orders_json(const handoff::QueueReply& reply)
{
    std::string all;
    for (const handoff::Order& order : reply.orders())
        joined_lines(all, inquiry::order_json(order));
    return all;
}

Answer orders(System& system)
{
    QueueCommand command;
    command.set_verb(QueueCommand::ORDERS);
    const auto reply = system.queue(std::move(command));
    if (!reply)
        return trouble(reply.error());
    return {200, json, fmt::format("{{\"orders\": [\n{}\n]}}\n", orders_json(*reply))};
}

Answer reports(System& system, std::string domain)
{
    const auto reply = system.reports(std::move(domain));
    if (!reply)
        return trouble(reply.error());
    std::string all;
    for (const handoff::AggregateReports::Report& report : reply->reports())
        joined_lines(all, inquiry::report_json(report));
    return {200, json, fmt::format("{{\"reports\": [\n{}\n]}}\n", all)};
}

Answer received(System& system, const Target& target)
{
    if (auto wrong = unknown_word(target, {"of", "days"}))
        return *std::move(wrong);
    handoff::HeardCommand command;
    command.set_domain(std::string(target.word("of").value_or("")));
    command.set_with_reports(!command.domain().empty());
    if (const auto days = target.word("days")) {
        const auto number = parse_number(*days);
        if (!number || *number == 0 || *number > 10'000)
            return wrong_query("days: a number from 1 to 10000 is needed");
        command.set_days(static_cast<std::uint32_t>(*number));
    }
    const auto reply = system.heard(std::move(command));
    if (!reply)
        return trouble(reply.error());
    std::string sums, each;
    for (const handoff::HeardSum& sum : reply->sums())
        joined_lines(sums, inquiry::heard_json(sum));
    for (const handoff::HeardReport& report : reply->reports())
        joined_lines(each, inquiry::heard_json(report));
    return {200, json, fmt::format("{{\"domains\": [\n{}\n], \"reports\": [\n{}\n]}}\n", sums, each)};
}

Answer trials(System& system, const Target& target)
{
    if (auto wrong = unknown_word(target, {"of", "direction", "since"}))
        return *std::move(wrong);
    handoff::TrialsCommand command;
    if (auto word = target.word("of"))
        command.add_words(*std::move(word));
    if (const auto direction = target.word("direction")) {
        if (*direction != "in" && *direction != "out")
            return wrong_query("direction: in or out is needed");
        command.set_direction(*direction == "in" ? handoff::TrialsCommand::IN : handoff::TrialsCommand::OUT);
    }
    if (const auto word = target.word("since")) {
        const auto since = inquiry::since_of(*word, system.now());
        if (!since)
            return wrong_query("since: " + since.error().what());
        command.set_since(since->time_since_epoch().count());
    }
    const auto told = system.trials(std::move(command));
    if (!told)
        return trouble(told.error());
    std::string all;
    for (const handoff::Trial& trial : told->trials())
        joined_lines(all, inquiry::trial_json(trial));
    return {200, json, fmt::format("{{\"trials\": [\n{}\n]}}\n", all)};
}

std::string accounts_json(const handoff::QueueReply& reply)
{
    std::string all;
    for (const handoff::Account& account : reply.accounts())
        joined_lines(all, inquiry::account_json(account));
    return all;
}

Answer accounts(System& system, std::string account)
{
    const auto reply = system.queue(inquiry::account_question(std::move(account)));
    if (!reply)
        return trouble(reply.error());
    return {200, json, fmt::format("{{\"accounts\": [\n{}\n]}}\n", accounts_json(*reply))};
}

/// What is wrong with its words; else what went wrong on the way.
Answer no_order(const Error& error) { return error.status() == "5.5.4" ? wrong_query(error.text()) : trouble(error); }

Answer give_order(const Asked& asked, System& system)
{
    const Target& target = asked.target;
    const auto kind = asked.route.place == Place::suspend ? handoff::Order::SUSPEND : handoff::Order::BOUNCE;
    auto wrong = kind == handoff::Order::SUSPEND ? unknown_word(target, {"destination", "from", "for", "reason"})
                                                 : unknown_word(target, {"destination", "from", "for", "reason", "yes"});
    if (wrong)
        return *std::move(wrong);
    auto command = inquiry::order_command(kind,
                                          {.destination = target.word("destination").value_or(""),
                                           .sender = target.word("from"),
                                           .lasts = target.word("for"),
                                           .reason = target.word("reason"),
                                           .sure = target.word("yes") == "yes"},
                                          fmt::format("client [{}]", asked.client));
    if (!command)
        return no_order(command.error());
    const auto reply = system.queue(*std::move(command));
    if (!reply)
        return no_order(reply.error());
    Answer answer(200, json, fmt::format("{{\"order\": {}}}\n", orders_json(*reply)));
    if (reply->orders_size() == 1)
        answer.log =
            fmt::format("{} {} by client [{}]", inquiry::order_name(reply->orders(0)), schedule::order_words(reply->orders(0)), asked.client);
    return answer;
}

Answer order_account(const Asked& asked, System& system)
{
    const Target& target = asked.target;
    const std::string &account = target.path[2], &verb = target.path[3];
    if (std::ranges::find(inquiry::account_verbs, verb) == std::end(inquiry::account_verbs))
        return http::error_answer(404, "no such action");
    if (auto wrong = unknown_word(target, {"for", "reason"}))
        return *std::move(wrong);
    auto command = inquiry::account_command(verb, account, target.word("for"), target.word("reason"), fmt::format("client [{}]", asked.client));
    if (!command)
        return no_order(command.error());
    const auto reply = system.queue(*std::move(command));
    if (!reply)
        return no_order(reply.error());
    Answer answer(200, json, fmt::format("{{\"account\": {}}}\n", accounts_json(*reply)));
    answer.log = fmt::format("account {}: {} by client [{}]", printable(account, true), verb, asked.client);
    return answer;
}

Answer end_orders(const Asked& asked, System& system)
{
    const Target& target = asked.target;
    if (auto wrong = unknown_word(target, {"destination", "from", "all"}))
        return *std::move(wrong);
    const auto destination = target.word("destination"), all = target.word("all");
    if (all ? *all != "yes" || destination || target.word("from") : !destination || destination->empty())
        return wrong_query("a destination is needed, or all=yes");
    auto command = inquiry::end_command(destination.value_or(""), target.word("from"), fmt::format("client [{}]", asked.client));
    if (!command)
        return no_order(command.error());
    const auto reply = system.queue(*std::move(command));
    if (!reply)
        return no_order(reply.error());
    if (reply->orders_size() == 0 && destination)
        return http::error_answer(404, "no such order is in force");
    Answer answer(200, json, fmt::format("{{\"ended\": [\n{}\n]}}\n", orders_json(*reply)));
    answer.log = fmt::format("{} orders ended by client [{}]", reply->orders_size(), asked.client);
    return answer;
}

Answer api_list()
{
    std::string all;
    for (const Known& one : known)
        if (!one.says.empty())
            joined_lines(all, json_object({{"method", one.route.changes ? "POST" : "GET"}, {"path", one.path}, {"says", one.says}}));
    return {200, json, fmt::format("{{\"paths\": [\n{}\n]}}\n", all)};
}

Answer page(Answer made)
{
    made.type = html;
    made.fields.emplace_back("Content-Security-Policy", std::string(page_policy()));
    return made;
}

Answer helpers(const process::InstanceCounters& counters)
{
    std::string list;
    for (const inquiry::HelperStanding& helper : inquiry::helpers_of(counters))
        joined_lines(list, inquiry::helper_json(helper));
    return {200, json, fmt::format("{{\"helpers\": [{}]}}\n", list)};
}

}  // namespace

std::optional<Route> route_of(const Target& target)
{
    for (const Known& one : known)
        if (leads(one.path, target))
            return one.route;
    return {};
}

bool needs_counters(Place place) { return place == Place::metrics || place == Place::counters || place == Place::helpers || place == Place::page; }

Answer answer_to(const Asked& asked, System& system, const Result<process::InstanceCounters>& counters, const Rates& rates)
{
    const Target& target = asked.target;
    if (needs_counters(asked.route.place) && !counters)
        return trouble(counters.error());
    switch (asked.route.place) {
    case Place::queue: return queue_listing(target, system);
    case Place::sites: return sites(target, system);
    case Place::transcripts: return transcripts(target, system);
    case Place::peers: return peers(target, system);
    case Place::peer_changes: return peer_changes(target, system);
    case Place::suspend:
    case Place::bounce: return give_order(asked, system);
    case Place::resume: return end_orders(asked, system);
    case Place::order_account: return order_account(asked, system);
    case Place::accounts: {
        if (auto wrong = unknown_word(target, {"of"}))
            return *std::move(wrong);
        return accounts(system, std::string(target.word("of").value_or("")));
    }
    case Place::page: {
        if (auto wrong = unknown_word(target, {"after"}))
            return *std::move(wrong);
        return page(overview_page(system, *counters, rates, target.word("after").value_or("")));
    }
    case Place::reports: {
        if (auto wrong = unknown_word(target, {"of"}))
            return *std::move(wrong);
        return reports(system, std::string(target.word("of").value_or("")));
    }
    case Place::received: return received(system, target);
    case Place::trials: return trials(system, target);
    default: break;
    }
    if (auto wrong = unknown_word(target, {}))
        return *std::move(wrong);
    switch (asked.route.place) {
    case Place::metrics: return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(*counters, POSTHORN_VERSION)};
    case Place::counters: return {200, json, counters_json(*counters)};
    case Place::helpers: return helpers(*counters);
    case Place::api_list: return api_list();
    case Place::orders: return orders(system);
    case Place::message: return handoff::is_queue_id(target.path[2]) ? why(target.path[2], system, true) : http::error_answer(404, "no such message");
    case Place::transcripts_of: return transcripts_of(system, target.path[2], most_transcripts);
    case Place::why: return why(target.path[2], system, false);
    case Place::message_page:
    case Place::why_page: return page(why_page(system, target.path[1]));
    case Place::act: return act(asked, system);
    default: return flush(asked, system);
    }
}

}  // namespace posthorn::admin
