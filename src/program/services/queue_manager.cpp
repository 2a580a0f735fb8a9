#include "services/queue_manager.hpp"

#include "base/timestamp.hpp"
#include "handoff/frames.hpp"
#include "handoff/redirect.hpp"
#include "schedule/release.hpp"
#include "services/own_transports.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

namespace posthorn::services {

using handoff::Recipient;
using handoff::Verdict;
using Way = schedule::Scheduler::Way;

schedule::Manner QueueManager::manner_of(const handoff::Envelope& envelope)
{
    return {.small = envelope.size() <= handoff::inline_content_limit, .apart = !envelope.verp().empty()};
}

QueueManager::QueueManager(Executor executor, spool::Store& store, Resolver& resolver, Workers& workers, QueueOptions options, const Clock& clock,
                           observe::Log log)
    : executor_(executor), store_(store), resolver_(resolver), workers_(workers), options_(std::move(options)), clock_(clock), log_(std::move(log)),
      scheduler_(options_.scheduler, clock), queue_ids_(options_.long_queue_ids), accounts_(clock.wall()), wake_(executor), worker_came_(executor),
      copy_changed_(executor), settled_(executor), reunion_(executor), read_(executor), orders_changed_(executor), moving_changed_(executor),
      tasks_(executor)
{
    accounts_.configure(options_.accounts);
}

// ---- The end, other options, numbers (the start: queue_start.cpp)

awaitable<void> QueueManager::close()
{
    keep_restraints();
    co_await tasks_.close();
    co_await store_.close();
}

void QueueManager::reconfigure(QueueOptions options)
{
    options_ = std::move(options);
    scheduler_.reconfigure(options_.scheduler);
    accounts_.configure(options_.accounts);
    wake_.notify_all();
}

awaitable<Result<void>> QueueManager::fetch_ids()
{
    CO_TRY(const auto block, co_await store_.reserve(spool::Counter::queue_id, 4096));
    queue_ids_.add_block(block.first, block.count);
    co_return Result<void>{};
}

awaitable<void> QueueManager::fetch_ids_in_background()
{
    if (auto fetched = co_await fetch_ids(); !fetched)
        log_.warning("queue ids: {}", fetched.error().text());
    fetching_ids_ = false;
}

std::string QueueManager::next_queue_id()
{
    if (queue_ids_.low() && !fetching_ids_) {
        fetching_ids_ = true;
        tasks_.spawn(fetch_ids_in_background());
    }
    return queue_ids_.next(clock_.wall()).value_or("");
}

// ---- In

awaitable<Result<handoff::EnqueueReply>> QueueManager::enqueue(handoff::EnqueueRequest request)
{
    auto message = std::make_shared<spool::NewMessage>();
    message->envelope = std::move(*request.mutable_envelope());
    message->content = std::move(*request.mutable_content());
    handoff::redirect(message->envelope);
    handoff::EnqueueReply reply;
    if (!whole_) {
        CO_TRY(const bool before, co_await stored_before(message->envelope));
        if (before) {
            CO_TRY_VOID(co_await on_both());
            reply.set_committed(true);
            co_return reply;
        }
    }
    if (!may_hand_in(message->envelope, &reply)) {
        co_await drop_file_of(*message);
        co_return reply;
    }
    if (held_back && held_back()) {
        co_await drop_file_of(*message);
        reply.set_status("4.3.0");
        reply.set_text("the queue has no second copy now");
        co_return reply;
    }
    const Result<spool::Lease> lease = co_await store_.enqueue(message);
    if (!lease) {
        if (lease.error().status().empty())
            co_return lease.error();                           // fate unknown: no answer is better than a wrong one
        co_await drop_file_of(*message);
        reply.set_status(lease.error().status());
        reply.set_text(lease.error().text());
        co_return reply;
    }
    ++counts_.enqueued;
    reply.set_committed(true);
    if (lease->key != 0 && !epochs_.contains(lease->key))
        co_await take_in(*lease, std::move(*message));         // the store has done with it
    CO_TRY_VOID(co_await on_both());
    if (request.first_answer() != 0 && active_.contains(lease->key))
        co_return co_await first_answer(lease->key, std::chrono::milliseconds{request.first_answer()});
    co_return reply;
}

/// A message that is new in the queue. Fields of one that is not in hand are read from the store, where records are to have them; meanwhile
/// nobody begins with it.
awaitable<void> QueueManager::take_in(spool::Lease lease, spool::NewMessage message)
{
    handoff::Envelope& envelope = message.envelope;
    std::string headers;
    if (recorder_ && !options_.records.headers.empty()) {
        if (message.content.file().empty()) {
            headers = handoff::chosen_headers(message.content.inline_octets(), options_.records.headers);
        } else {
            epochs_[lease.key] = lease.epoch;
            starting_.insert(lease.key);
            headers = co_await stored_headers(lease);
            starting_.erase(lease.key);
            if (!epochs_.contains(lease.key))                  // deleted meanwhile
                co_return record_reception(envelope, headers);
            envelope.set_hold(envelope.hold() || held_.contains(lease.key));
        }
    }
    record_reception(envelope, headers);
    admit(lease, std::move(envelope), std::move(*message.content.mutable_inline_octets()), std::move(headers));
}

/// Of a message that is certain not to be stored: its file, where nobody else sees to that.
awaitable<void> QueueManager::drop_file_of(const spool::NewMessage& message)
{
    if (!message.content.nobodys() || message.content.file().empty())
        co_return;
    if (const auto dropped = co_await store_.drop_file(message.envelope.queue_id()); !dropped)
        log_.warning("{}", dropped.error().text());            // the next start finds it
}

awaitable<Result<handoff::CommittedAnswer>> QueueManager::committed(handoff::CommittedQuestion question)
{
    CO_TRY(const bool committed, co_await store_.was_committed(question.queue_id()));
    if (committed)
        CO_TRY_VOID(co_await on_both());
    handoff::CommittedAnswer answer;
    answer.set_committed(committed);
    co_return answer;
}

/// Returns when what was stored so far may be answered. Its error is that of a fate nobody knows: this process ends before that.
awaitable<Result<void>> QueueManager::on_both()
{
    while (may_answer && !may_answer()) {
        if (co_await cancelled())
            co_return Error{"the queue manager ends before the copy of the queue has what was stored"};
        co_await copy_changed_.wait();
    }
    co_return Result<void>{};
}

awaitable<Result<handoff::Welcome>> QueueManager::id_block()
{
    constexpr std::uint64_t numbers = 10'000;
    CO_TRY(const auto block, co_await store_.reserve(spool::Counter::queue_id, numbers));
    handoff::Welcome welcome;
    welcome.set_first_sequence(block.first);
    welcome.set_sequences(block.count);
    co_return welcome;
}

void QueueManager::admit(spool::Lease lease, handoff::Envelope envelope, std::string octets, std::string record_headers)
{
    epochs_[lease.key] = lease.epoch;
    const auto arrived = [&](QueueTally::Place place) { tally_.arrived(lease.key, WallTime{std::chrono::microseconds{envelope.arrival()}}, place); };
    if (envelope.hold()) {
        held_.insert(lease.key);
        return arrived(QueueTally::Place::hold);
    }
    if (hold_back(lease.key, envelope)) {
        log_.info("{}: from=<{}>, {}", envelope.queue_id(), smtp::external_address(envelope.sender()),
                  schedule::held_text(deferred_.next_try(lease.key).value_or(clock_.wall())));
        return arrived(QueueTally::Place::deferred);
    }
    if (scheduler_.full() || active_.size() >= options_.scheduler.active_messages) {
        arrived(QueueTally::Place::deferred);
        deferred_.put(lease.key, clock_.wall());
        return;
    }
    arrived(QueueTally::Place::active);
    Active active;
    active.lease = lease;
    active.envelope = std::move(envelope);
    auto& recipients = *active.envelope.mutable_recipients();
    active.recipients.assign(std::make_move_iterator(recipients.begin()), std::make_move_iterator(recipients.end()));
    active.envelope.clear_recipients();
    active.since = now();
    active.next_try = WallTime::max();
    active.record_headers = std::move(record_headers);
    if (resident_ + octets.size() <= options_.resident_octets) {
        resident_ += octets.size();
        active.resident = std::move(octets);
    }
    active_.emplace(lease.key, std::move(active));
    fresh_.push_back(lease.key);
    if (!handing_on_) {
        handing_on_ = true;
        tasks_.spawn(hand_on());
    }
}

/// New mail goes on when all of its commit are answered, and with what came within hand_on_interval: a client's 250 does not wait for what has no
/// hurry, and each process that is woken finds more to do. Mail that comes alone does not wait.
awaitable<void> QueueManager::hand_on()
{
    if (const auto rest = handed_on_ + options_.hand_on_interval - clock_.steady(); rest > SteadyTime::duration::zero())
        co_await sleep_for(std::chrono::ceil<std::chrono::milliseconds>(rest));
    else
        co_await asio::post(co_await asio::this_coro::executor, use_awaitable);
    handing_on_ = false;
    handed_on_ = clock_.steady();
    for (const Key key : std::exchange(fresh_, {}))
        if (active_.contains(key))
            tasks_.spawn(start_round(key));
}

awaitable<void> QueueManager::activate_stored(spool::Lease lease)
{
    if (to_requeue_.contains(lease.key) && !held_.contains(lease.key)) {   // asked for while it was being delivered, perhaps before a restart
        to_requeue_.erase(lease.key);
        starting_.erase(lease.key);
        co_return co_await requeue_after_round(lease);
    }
    auto stored = co_await store_.read(lease);
    std::string record_headers = stored ? co_await stored_headers(lease) : std::string();
    starting_.erase(lease.key);
    if (!stored) {
        if (!stored.error().status().empty()) {                // damaged, or gone meanwhile: looked at again later, never dropped silently
            log_.warning("cannot read message {}: {}", lease.key, stored.error().text());
            put_off(lease.key, clock_.wall() + options_.retry.maximal_backoff);
        }
        co_return;
    }
    if (stored->hold || !epochs_.contains(lease.key) || (!stored->expire && hold_back(lease.key, stored->envelope)))
        co_return;
    const auto end = schedule::expires(stored->envelope);
    const bool over = !stored->expire && end && *end <= clock_.wall();          // its sender wants no attempt any more
    Active active;
    active.lease = lease;
    active.envelope = std::move(stored->envelope);
    active.since = now();
    active.warned = stored->warned;
    active.next_try = WallTime::max();
    active.record_headers = std::move(record_headers);
    for (spool::RecipientState& state : stored->recipients) {
        if (stored->expire)
            active.failures.push_back(own_verdict(state.recipient.index(), handoff::OUTCOME_EXPIRED, "4.3.2",
                                                  state.last ? state.last->text() : "message is administratively expired"));
        if (over)
            active.failures.push_back(
                own_verdict(state.recipient.index(), handoff::OUTCOME_EXPIRED, state.last ? state.last->status() : "4.4.7",
                            state.last ? state.last->text() : fmt::format("message expired at {}, as its sender asked", timestamp(*end))));
        active.recipients.push_back(std::move(state.recipient));
        active.tries.push_back(state.tries);
    }
    const bool expire = stored->expire || over;
    const std::string line = fmt::format("{}: from=<{}>, status={}, returned to sender", active.envelope.queue_id(),
                                         smtp::external_address(active.envelope.sender()), over ? "expired" : "force-expired");
    for (const Verdict& expired : active.failures) {
        count_verdict(lease.key, active, expired);
        if (over)
            record_fate(active, expired, nullptr);
        else
            record_fate(active, expired, handoff::RecordType::admin_bounce, nullptr);
    }
    active_.emplace(lease.key, std::move(active));
    if (!expire && is_only_looked_at(lease.key))
        active_.at(lease.key).only_looked_at = true;
    else
        tally_.tried(lease.key);
    count_place(lease.key);
    if (expire) {
        log_.write(observe::Level::info, line);
        co_await end_round(lease.key);
    } else {
        co_await start_round(lease.key);
    }
}

// ---- Where to

/// Asks for the routes of all recipients, in pieces that fit into a frame. False: they are not all known, and why; or the message went meanwhile.
awaitable<bool> QueueManager::find_routes(Key key, std::string* trouble)
{
    constexpr std::size_t at_once = 1000;
    for (auto found = active_.find(key); found != active_.end() && !found->second.removed; found = active_.find(key)) {
        const std::size_t first = found->second.routes.size(), end = std::min(found->second.recipients.size(), first + at_once);
        if (first == found->second.recipients.size())
            co_return true;
        const handoff::Envelope& envelope = found->second.envelope;
        handoff::RouteRequest question;
        question.set_sender(envelope.sender());
        question.set_client_address(envelope.client().address());
        if (envelope.purpose() != handoff::PURPOSE_VERIFY_ADDRESS)
            question.set_filter(envelope.filter());
        for (std::size_t at = first; at < end; ++at)
            question.add_addresses(found->second.recipients[at].address());
        Result<handoff::RouteReply> reply = co_await resolver_.route(std::move(question));
        if (!reply || reply->retry() || static_cast<std::size_t>(reply->routes_size()) != end - first) {
            *trouble = !reply ? reply.error().text() : reply->retry() ? reply->text() : "the resolver answered with another number of routes";
            co_return false;
        }
        if (const auto still = active_.find(key); still != active_.end())
            std::ranges::move(*reply->mutable_routes(), std::back_inserter(still->second.routes));
    }
    co_return false;
}

/// What retry_schedule_maps says that cannot be read is said once a round, and counts for nothing.
void QueueManager::look_at_schedules(Active& active) const
{
    std::unordered_set<std::string> wrong;
    for (handoff::Route& route : active.routes) {
        if (route.retry().empty())
            continue;
        if (const auto read = schedule::amended(options_.retry, route.retry()); !read) {
            if (wrong.insert(route.retry()).second)
                log_.warning("{}: retry_schedule_maps: {}: {}; the times of main.cf hold", active.envelope.queue_id(),
                             smtp::external_address(route.address()), read.error().text());
            route.clear_retry();
        }
    }
}

awaitable<void> QueueManager::start_round(Key key)
{
    {
        const Active& active = active_.at(key);
        log_.info("{}: from=<{}>, size={}, nrcpt={} (queue active)", active.envelope.queue_id(), smtp::external_address(active.envelope.sender()),
                  active.envelope.size(), active.recipients.size());
    }
    std::string text;
    const bool routed_all = co_await find_routes(key, &text);
    const auto found = active_.find(key);
    if (found == active_.end() || found->second.removed)
        co_return gone_if_removed(key);
    if (held_.contains(key))                                   // meanwhile: nothing of it was given out
        co_return co_await end_round(key);
    Active& active = found->second;
    look_at_schedules(active);
    const int count = static_cast<int>(active.recipients.size());
    std::optional<WallTime> tried_at;                          // it is looked at because of an order alone: what that is not for waits on
    if (const auto looked = looked_at_.extract(key); !looked.empty() && active.only_looked_at)
        active.next_try = tried_at.emplace(looked.mapped());
    if (!routed_all && tried_at)
        co_return co_await end_round(key);
    if (!routed_all) {
        log_.warning("{}: address resolution: {}", active.envelope.queue_id(), text);
        std::vector<Verdict> verdicts;
        for (const Recipient& recipient : active.recipients)
            verdicts.push_back(own_verdict(recipient.index(), handoff::OUTCOME_DEFERRED, "4.3.0", "address resolver failure: " + text));
        log_own(active, verdicts, "error");
        co_await settle(key, scheduler_.take_attempt(), std::move(verdicts));
        co_await end_round(key);
        co_return;
    }
    // What needs no peer gets its verdict here: error, retry, discard, what the administrator told to wait, what an operator ordered.
    held_up_no_more(key);
    active.orders_seen = orders_given_;
    std::map<std::string, std::vector<Verdict>> own;
    std::vector<schedule::RoutedRecipient> peers;              // all else
    for (int i = 0; i < count; ++i) {
        handoff::Route& route = active.routes[static_cast<std::size_t>(i)];
        const std::uint32_t index = active.recipients[static_cast<std::size_t>(i)].index();
        if (!told_to_wait(route.transport()))
            choose(route, active.envelope.queue_id(), order_sender(active.envelope));
        if (const handoff::Order* order = order_for(active, static_cast<std::size_t>(i)))
            own[order->kind() == handoff::Order::SUSPEND ? "retry" : "error"].push_back(verdict_of(*order, active, index));
        else if (tried_at)
            continue;
        else if (told_to_wait(route.transport()))
            own["retry"].push_back(own_verdict(index, handoff::OUTCOME_DEFERRED, "4.3.2", "deferred transport"));
        else if (auto verdict = own_transport(route, active.envelope.purpose()))
            own[route.transport()].push_back(own_verdict(index, verdict->outcome, verdict->status, verdict->text));
        else
            peers.push_back(routed(active, index));
    }
    if (!peers.empty())
        scheduler_.activate(key, peers, manner_of(active.envelope));
    for (auto& [transport, verdicts] : own) {
        log_own(active_.at(key), verdicts, transport);
        co_await settle(key, scheduler_.take_attempt(), std::move(verdicts));
    }
    if (peers.empty())
        co_await end_round(key);
    else
        pump();
}

// ---- Out

awaitable<void> QueueManager::run()
{
    // After a restart, delivery processes of the time before come back with what they hold; until then stored messages rest.
    const auto incomplete = [this] { return !awaited_.empty() || telling_ > 0; };
    if (incomplete()) {
        const SteadyTime end = clock_.steady() + options_.reunion;
        while (incomplete() && clock_.steady() < end && !co_await cancelled())
            co_await wake_.wait_for(std::chrono::milliseconds{50});
        if (!awaited_.empty())
            log_.warning("{} delivery processes of before did not come back; their messages are tried again", awaited_.size());
    }
    united_ = true;
    while (!co_await cancelled()) {
        follow_the_clock();
        const WallTime wall = clock_.wall();
        if (const auto end = orders_.next_end(); end && *end <= wall && !std::exchange(expiring_orders_, true))
            tasks_.spawn(expire_orders());
        while (!scheduler_.full() && active_.size() + starting_.size() < options_.scheduler.active_messages) {
            const auto key = deferred_.take_due(wall);
            if (!key)
                break;
            const auto epoch = epochs_.find(*key);
            if (epoch == epochs_.end() || active_.contains(*key) || foreign_messages_.contains(*key) || !starting_.insert(*key).second)
                continue;                                       // a message with an attempt of before comes back when that ends
            tasks_.spawn(activate_stored({*key, epoch->second}));
        }
        pump();
        std::chrono::milliseconds rest{60'000};
        if (const auto due = deferred_.earliest())
            rest = std::min(rest, std::chrono::ceil<std::chrono::milliseconds>(std::max(WallTime::duration{0}, *due - clock_.wall())));
        if (const auto end = orders_.next_end(); end && !expiring_orders_)
            rest = std::min(rest, std::chrono::ceil<std::chrono::milliseconds>(std::max(WallTime::duration{0}, *end - clock_.wall())));
        if (const auto wake = scheduler_.wake_at())
            rest = std::min(rest, std::chrono::ceil<std::chrono::milliseconds>(std::max(SteadyTime::duration{0}, *wake - clock_.steady())));
        if (scheduler_.full() || active_.size() + starting_.size() >= options_.scheduler.active_messages) {
            warn_of_clog();
            rest = std::chrono::milliseconds{1000};             // an end of a round wakes us before
        }
        rest = std::max(rest, std::chrono::milliseconds{1});
        resting_until_ = clock_.steady() + rest;
        co_await wake_.wait_for(rest);
        resting_until_ = SteadyTime::min();                     // awake
    }
}

/// Mail of other destinations waits in the deferred queue then, however free they are. Looked at once a second: all sites are counted for it.
void QueueManager::warn_of_clog()
{
    const SteadyTime steady = clock_.steady();
    if (options_.clog_warn_time.count() == 0 || steady - clog_looked_ < std::chrono::seconds{1})
        return;
    clog_looked_ = steady;
    const std::vector<std::string> names = scheduler_.busiest(1);
    const auto site = names.empty() ? std::nullopt : scheduler_.site(names.front());
    // A message of many recipients may be in several deliveries.
    const std::size_t mail = site ? std::min(site->waiting_messages + site->in_flight, scheduler_.active()) : 0;
    if (mail == 0 || 5 * mail < 4 * scheduler_.active() || (names.front() == clogged_by_ && steady - clog_said_ < options_.clog_warn_time))
        return;
    clogged_by_ = names.front();
    clog_said_ = steady;
    log_.warning("mail for {} is using up {} of {} active queue entries", clogged_by_, mail, scheduler_.active());
    log_.warning("this may slow down other mail deliveries: see posthorn why {}", clogged_by_);
}

/// A wall clock that is set back takes the times of what waits with it, or that would wait as much longer. Set forward it makes all due
/// earlier, as after a night's sleep of the machine: so be it.
void QueueManager::follow_the_clock()
{
    constexpr std::chrono::seconds worth_it{2};                // less is a clock that is steered
    const auto ahead = clock_.wall().time_since_epoch() - std::chrono::duration_cast<WallTime::duration>(clock_.steady().time_since_epoch());
    const auto back = std::exchange(wall_ahead_, ahead).value_or(ahead) - ahead;
    if (back < worth_it)
        return;
    log_.warning("the clock was set back by {} seconds: what waits goes when it would have gone",
                 std::chrono::round<std::chrono::seconds>(back).count());
    deferred_.earlier(back);
    if (orders_.next_end())
        tasks_.spawn(orders_earlier(back));
    for (auto& [key, active] : active_) {
        if (active.next_try != WallTime::max())
            active.next_try -= back;
        if (active.not_before != WallTime{})
            active.not_before -= back;
    }
}

void QueueManager::pump()
{
    while (auto suspended = scheduler_.take_suspended())
        tasks_.spawn(suspend(std::move(*suspended)));
    while (carried_ < options_.carried_octets && !(held_back && held_back())) {
        auto request = scheduler_.next(carried_ < options_.carried_ahead);
        if (!request)
            break;
        // Larger content than this travels as a descriptor.
        const std::uint64_t octets = std::min<std::uint64_t>(active_.at(request->message).envelope.size(), handoff::inline_content_limit);
        carried_ += octets;
        tasks_.spawn(deliver(std::move(*request), octets));
    }
    while (auto suspended = scheduler_.take_suspended())
        tasks_.spawn(suspend(std::move(*suspended)));
    if (const auto wake = scheduler_.wake_at(); wake && *wake < resting_until_)
        wake_.notify_all();                                     // run() looks at the clock again
}

bool QueueManager::told_to_wait(std::string_view transport) const
{
    return std::ranges::find(options_.defer_transports, transport) != options_.defer_transports.end();
}

schedule::Scheduler::Way QueueManager::way(std::string_view transport, std::string_view site, std::string_view sender) const
{
    const bool closed = told_to_wait(transport) || orders_.closes(transport, site, sender, clock_.wall());
    return closed ? Way::closed : scheduler_.way(transport, site);
}

bool QueueManager::choose(handoff::Route& route, std::string_view mail, std::string_view sender) const
{
    return options_.pools.choose(
        route, mail, [this, sender](std::string_view transport, std::string_view site) { return static_cast<int>(way(transport, site, sender)); });
}

/// Mail that went to this site by a member of a pool would now go by another.
bool QueueManager::has_another_way(const Active& active, std::string_view site) const
{
    const auto at = std::ranges::find_if(active.routes, [&](const handoff::Route& route) { return !route.pool().empty() && route.site() == site; });
    if (at == active.routes.end())
        return false;
    handoff::Route other = *at;
    const std::string_view sender = order_sender(active.envelope);
    return choose(other, active.envelope.queue_id(), sender) && way(other.transport(), other.site(), sender) != Way::closed;
}

/// What is held back by one member of a pool goes by another that is not. What is left.
std::vector<std::uint32_t> QueueManager::give_to_others(const schedule::Suspended& suspended)
{
    Active& active = active_.at(suspended.message);
    std::vector<schedule::RoutedRecipient> given;
    std::vector<std::uint32_t> left;
    for (const std::uint32_t index : suspended.recipients) {
        handoff::Route& route = active.routes[position(active, index)];
        const std::string_view sender = order_sender(active.envelope);
        if (!choose(route, active.envelope.queue_id(), sender) || way(route.transport(), route.site(), sender) == Way::closed) {
            left.push_back(index);
            continue;
        }
        if (given.empty())
            log_.info("{}: {} takes it to {}: {}", active.envelope.queue_id(), route.transport(), route.nexthop(), suspended.reason);
        given.push_back(routed(active, index));
    }
    if (!given.empty())
        scheduler_.activate(suspended.message, std::move(given), manner_of(active.envelope));
    return left;
}

awaitable<void> QueueManager::suspend(schedule::Suspended suspended)
{
    const auto found = active_.find(suspended.message);
    const std::vector<std::uint32_t> left = found == active_.end() ? std::vector<std::uint32_t>{} : give_to_others(suspended);
    if (!left.empty()) {
        std::vector<Verdict> verdicts;
        for (const std::uint32_t index : left)
            verdicts.push_back(own_verdict(index, handoff::OUTCOME_DEFERRED, "4.4.1", "delivery temporarily suspended: " + suspended.reason));
        log_own(found->second, verdicts, "error");
        if (suspended.until != SteadyTime{})
            found->second.not_before = clock_.wall() + std::chrono::ceil<std::chrono::microseconds>(suspended.until - clock_.steady());
        co_await settle(suspended.message, scheduler_.take_attempt(), std::move(verdicts));
    }
    if (scheduler_.suspended_done(suspended))
        co_await round_done(suspended.message);
    else if (left.size() < suspended.recipients.size())
        pump();
}

}  // namespace posthorn::services
