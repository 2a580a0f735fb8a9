// Why is it still here? What the queue manager says of one message, of an address, of a domain. It only looks: nothing is changed by asking.
#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "handoff/waits.hpp"
#include "schedule/release.hpp"
#include "services/queue_manager.hpp"

#include "route/resolve.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace posthorn::services {

using handoff::Explanation;
using handoff::Frame;
using handoff::QueueCommand;
using handoff::QueueReply;
using handoff::Wait;

namespace {

constexpr int ids_shown = 10;
/// How long an answer waits for what delivery processes say; and how many questions one may leave open before it is asked no more.
constexpr std::chrono::milliseconds progress_patience{1000};
constexpr unsigned most_unanswered = 8;

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }

}  // namespace

/// On the wall clock; 0 for none.
std::int64_t QueueManager::wall_of(SteadyTime time) const
{
    if (time == SteadyTime{})
        return 0;
    return micros(clock_.wall() + std::chrono::duration_cast<std::chrono::microseconds>(time - clock_.steady()));
}

awaitable<Result<QueueReply>> QueueManager::explain(QueueCommand command)
{
    if (command.queue_ids_size() == 1)
        co_return co_await explain_message(command.queue_ids(0));
    if (command.argument().empty())
        co_return Error{"a queue id, an address or a domain is to be named", "5.5.4"};
    co_return co_await explain_destination(command.argument());
}

/// Where these go, as the resolver says now; empty where it cannot say, and `trouble` why.
awaitable<std::vector<handoff::Route>> QueueManager::routes_now(std::string sender, std::vector<std::string> addresses, std::string filter,
                                                                std::string* trouble)
{
    handoff::RouteRequest question;
    question.set_sender(std::move(sender));
    question.set_filter(std::move(filter));
    const auto count = static_cast<int>(addresses.size());
    for (std::string& address : addresses)
        question.add_addresses(std::move(address));
    const auto reply = co_await resolver_.route(std::move(question));
    if (!reply || reply->retry() || reply->routes_size() != count) {
        *trouble = !reply ? reply.error().text() : reply->retry() ? reply->text() : "the resolver answered with another number of routes";
        co_return std::vector<handoff::Route>{};
    }
    co_return std::vector<handoff::Route>(reply->routes().begin(), reply->routes().end());
}

void QueueManager::add_share(Explanation& into, const std::string& site, const std::string& transport) const
{
    if (std::ranges::find(into.sites(), site, &handoff::SiteStanding::site) == into.sites().end())
        *into.add_sites() = standing_of(site, transport);
}

handoff::SiteStanding QueueManager::standing_of(const std::string& site, const std::string& transport) const
{
    handoff::SiteStanding share;
    share.set_site(site);
    share.set_transport(transport);
    const auto state = scheduler_.site(site);
    if (!state)
        return share;
    const SteadyTime now = clock_.steady();
    share.set_window(state->window);
    share.set_in_flight(state->in_flight);
    share.set_waiting_messages(state->waiting_messages);
    share.set_waiting_recipients(state->waiting_recipients);
    if (state->dead && state->dead_until > now) {
        share.set_dead_until(wall_of(state->dead_until));
        share.set_reason(state->reason);
    } else if (state->transport_dead_until > now) {
        share.set_dead_until(wall_of(state->transport_dead_until));
        share.set_reason(state->transport_reason);
    }
    if (state->not_before > now)
        share.set_not_before(wall_of(state->not_before));
    share.set_set(state->set);
    share.set_ceiling(state->ceiling);
    share.set_per_minute(state->per_minute);
    if (state->suspended_until > now)
        share.set_silent_until(wall_of(state->suspended_until));
    share.set_said(state->said);
    share.set_came_per_minute(state->came_per_minute);
    share.set_left_per_minute(state->left_per_minute);
    return share;
}

/// Asked of the scheduler and of running numbers: nothing is read.
awaitable<Result<handoff::SitesReply>> QueueManager::sites(handoff::SitesQuestion question)
{
    constexpr std::uint32_t usual = 100, at_most = 1000;
    if (!co_await whole())
        co_return Error{"the queue manager ends", "4.3.2"};
    const std::uint32_t most = question.most() == 0 ? usual : std::min(question.most(), at_most);
    handoff::SitesReply reply;
    for (const std::string& name : scheduler_.busiest(most)) {
        if (const auto state = scheduler_.site(name))
            *reply.add_sites() = standing_of(name, state->transport);
    }
    for (const QueueTally::Group* group : tally_.largest(most)) {
        handoff::DeferredGroup& told = *reply.add_deferred();
        told.set_destination(group->destination);
        told.set_reason(group->reason);
        told.set_recipients(group->recipients);
        told.set_text(group->text);
        told.set_site(group->site);
        told.set_last(micros(group->last));
        told.set_rest(group->rest);
    }
    reply.set_groups(tally_.groups());
    reply.set_messages(tally_.messages());
    co_return reply;
}

/// What one delivery process said, and how many have not answered yet.
struct QueueManager::Told {
    explicit Told(const Executor& executor) : changed(executor) {}
    std::vector<handoff::Progress> all;
    std::size_t open = 0;
    Signal changed;
};

awaitable<void> QueueManager::ask_progress(std::shared_ptr<ipc::Channel> worker, handoff::ProgressQuestion question, std::shared_ptr<Told> told)
{
    ++unanswered_[worker.get()];
    auto reply = co_await worker->call<handoff::ProgressReply>(Frame::progress, std::move(question));
    if (reply)
        std::ranges::move(*reply->mutable_all(), std::back_inserter(told->all));
    if (--unanswered_[worker.get()] == 0)
        unanswered_.erase(worker.get());
    --told->open;
    told->changed.notify_all();
}

/// A process that stands still holds up no answer, and is not asked for ever.
awaitable<std::vector<handoff::Progress>> QueueManager::progress_of(Key key)
{
    const auto told = std::make_shared<Told>(co_await asio::this_coro::executor);
    std::map<std::shared_ptr<ipc::Channel>, handoff::ProgressQuestion> questions;
    if (const auto found = given_.find(key); found != given_.end())
        for (const Given& one : found->second)
            if (const auto worker = one.worker.lock(); worker && worker->is_open())
                questions[worker].add_attempts(one.attempt);
    for (auto& [worker, question] : questions)
        if (const auto open = unanswered_.find(worker.get()); open == unanswered_.end() || open->second < most_unanswered) {
            ++told->open;
            tasks_.spawn(ask_progress(worker, std::move(question), told));
        }
    for (const auto end = std::chrono::steady_clock::now() + progress_patience; told->open != 0;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0 || !co_await told->changed.wait_for(left))
            break;
    }
    co_return std::move(told->all);
}

awaitable<Result<QueueReply>> QueueManager::explain_message(std::string queue_id)
{
    CO_TRY(const auto lease, co_await store_.find(queue_id));
    if (!lease)
        co_return QueueReply{};
    const Key key = lease->key;
    CO_TRY(auto stored, co_await store_.read(*lease));
    std::string trouble;
    std::vector<handoff::Route> routes;
    if (!stored.recipients.empty()) {
        std::vector<std::string> addresses;
        for (const spool::RecipientState& state : stored.recipients)
            addresses.push_back(state.recipient.address());
        routes = co_await routes_now(stored.envelope.sender(), std::move(addresses), stored.envelope.filter(), &trouble);
    }
    const std::vector<handoff::Progress> progress = given_.contains(key) ? co_await progress_of(key) : std::vector<handoff::Progress>{};
    const auto active = active_.find(key);
    const WallTime wall = clock_.wall();
    const WallTime may_go = schedule::may_go(stored.envelope, wall);

    QueueReply reply;
    Explanation& said = *reply.mutable_explanation();
    said.set_queue_id(stored.envelope.queue_id());
    said.set_queue_name(held_.contains(key) ? "hold" : active != active_.end() ? "active" : deferred_.next_try(key) ? "deferred" : "incoming");
    said.set_sender(stored.envelope.sender());
    said.set_arrival(stored.envelope.arrival());
    said.set_size(stored.envelope.size());
    const auto gives_up = [&](const schedule::RetryOptions& retry) { return micros(this->gives_up(stored.envelope, retry)); };
    said.set_gives_up(gives_up(options_.retry));
    said.set_requiretls(stored.envelope.requiretls());
    said.set_tls_optional(stored.envelope.tls_optional());
    if (held_.contains(key))
        said.set_hold_reason(stored.envelope.hold_reason());
    said.set_trouble(trouble);
    const auto stands = scheduler_.stands(key);
    for (std::size_t at = 0; at < stored.recipients.size(); ++at) {
        spool::RecipientState& state = stored.recipients[at];
        handoff::Waiting& waiting = *said.add_waiting();
        waiting.set_tries(state.tries);
        if (state.last) {
            waiting.set_reason(state.last->text());
            waiting.set_relay(state.last->relay());
            waiting.set_since(state.last->finished());
        } else
            waiting.set_since(stored.envelope.arrival());
        if (at < routes.size()) {
            if (active == active_.end())
                choose(routes[at], stored.envelope.queue_id(), order_sender(stored.envelope));
            *waiting.mutable_route() = routes[at];
            if (!routes[at].retry().empty())
                waiting.set_gives_up(gives_up(retry_of(routes[at])));
            add_share(said, routes[at].site(), routes[at].transport());
        }
        const std::uint32_t index = state.recipient.index();
        const auto is = [&](Wait wait) { waiting.set_wait(static_cast<std::uint32_t>(wait)); };
        const auto until = [&](WallTime when) {
            if (when > wall)
                waiting.set_until(micros(when));
        };
        const handoff::Order* const order =
            at < routes.size() ? orders_.for_mail(state.recipient.address(), routes[at], order_sender(stored.envelope), wall) : nullptr;
        const auto is_ordered = [&] {
            is(Wait::order);
            *waiting.mutable_order() = with_counts(*order);
            waiting.set_trouble(schedule::order_text(*order));
            until(WallTime{std::chrono::microseconds{order->until()}});
        };
        if (leaving_.contains(key)) {
            is(Wait::moving);
            waiting.set_since(moving_.since());
            waiting.set_trouble(leaving_text());
        } else if (held_.contains(key))
            is(Wait::hold);
        else if (stored.expire || expiring_.contains(key))
            is(Wait::expiry);
        else if (foreign_messages_.contains(key))
            is(Wait::delivery);
        else if (active != active_.end()) {
            waiting.set_since(active->second.since);
            const auto stand =
                std::ranges::find_if(stands, [&](const auto& one) { return std::ranges::find(one.recipients, index) != one.recipients.end(); });
            if (active->second.routes.size() != active->second.recipients.size())
                is(Wait::route);
            else if (stand != stands.end()) {
                const bool turn = stand->wait == Wait::turn, next = turn || stand->wait == Wait::room;
                is(next && held_back && held_back() ? Wait::standby : turn && carried_ >= options_.carried_octets ? Wait::room : stand->wait);
                waiting.set_ahead(static_cast<std::uint32_t>(stand->ahead));
                waiting.set_trouble(stand->reason);
                waiting.set_until(wall_of(stand->until));
                if (stand->since != SteadyTime{})
                    waiting.set_since(wall_of(stand->since));
            } else if (order) {
                is_ordered();
            } else if (state.next_try > wall) {                     // this round is over for it
                is(Wait::retry);
                until(state.next_try);
            } else
                is(Wait::settling);
        } else if (order) {
            is_ordered();
        } else if (may_go > wall && !urged_.contains(key)) {
            is(Wait::release);
            waiting.set_trouble(schedule::held_text(may_go));
            until(may_go);
        } else if (const auto next = deferred_.next_try(key)) {
            until(*next);
            const auto share = std::ranges::find_if(said.sites(), [&](const auto& one) { return one.site() == waiting.route().site(); });
            const bool dead = share != said.sites().end() && share->dead_until() != 0;
            if (dead) {
                const auto site = scheduler_.site(share->site());
                is(site && site->dead ? Wait::dead_site : Wait::dead_transport);
                waiting.set_trouble(share->reason());
                waiting.set_until(std::max(waiting.until(), share->dead_until()));
            } else if (told_to_wait(waiting.route().transport()) || told_to_wait(waiting.route().pool()))
                is(Wait::told_to_wait);
            else if (*next > wall)
                is(Wait::retry);
            else
                is(!awaited_.empty() ? Wait::reunion : scheduler_.full() ? Wait::active_limit : Wait::nothing);
        }
        const auto told = std::ranges::find_if(
            progress, [&](const handoff::Progress& one) { return std::ranges::find(one.recipients(), index) != one.recipients().end(); });
        if (told != progress.end() && waiting.wait() == static_cast<std::uint32_t>(Wait::delivery)) {
            waiting.set_progress(told->waits_for());
            waiting.set_progress_since(micros(wall) - told->waited());
        }
        *waiting.mutable_recipient() = std::move(state.recipient);
    }
    co_return reply;
}

awaitable<Result<QueueReply>> QueueManager::explain_destination(std::string word)
{
    QueueReply reply;
    Explanation& said = *reply.mutable_explanation();
    const bool address = word.find('@') != word.npos;
    std::vector<handoff::Route> ways;
    if (const auto site = scheduler_.site(word)) {
        add_share(said, word, site->transport);
        ways.emplace_back();
        ways.back().set_transport(site->transport);
        ways.back().set_site(word);
    } else {
        std::string trouble;
        const auto routes = co_await routes_now("", {address ? word : "postmaster@" + word}, "", &trouble);
        said.set_trouble(trouble);
        ways.assign(routes.begin(), routes.end());
        for (const handoff::Route& route : routes) {
            const auto* const members = options_.pools.members(route.transport());
            if (!members)
                add_share(said, route.site(), route.transport());
            else
                for (const auto& member : *members) {
                    const std::string theirs = route::site_key(member.transport, route.nexthop());
                    add_share(said, theirs, member.transport);
                    ways.push_back(route);
                    ways.back().set_transport(member.transport);
                    ways.back().set_site(theirs);
                    ways.back().set_pool(route.transport());
                }
        }
    }
    for (const handoff::Order& order : orders_.all())
        if (schedule::is_about(order, word, ways))
            *said.add_orders() = with_counts(order);
    const std::string suffix = "@" + word;
    for (std::uint64_t after = 0;;) {
        CO_TRY(const auto page, co_await store_.load(after, 10'000));
        for (const spool::Scheduled& message : page.entries) {
            const auto matching = std::ranges::count_if(message.recipients, [&](const auto& recipient) {
                return address ? iequals(recipient.address, word) : iends_with(recipient.address, suffix);
            });
            if (matching == 0)
                continue;
            said.set_messages(said.messages() + 1);
            said.set_recipients(said.recipients() + static_cast<std::uint64_t>(matching));
            said.set_on_hold(said.on_hold() + (message.hold ? 1 : 0));
            said.set_active(said.active() + (active_.contains(message.lease.key) ? 1 : 0));
            const std::int64_t arrival = micros(message.arrival);
            said.set_oldest(said.oldest() == 0 ? arrival : std::min<std::int64_t>(said.oldest(), arrival));
            if (said.queue_ids_size() < ids_shown)
                said.add_queue_ids(message.queue_id);
        }
        after = page.next;
        if (page.done)
            break;
    }
    co_return reply;
}

}  // namespace posthorn::services
