// What operators ordered for destinations (schedule/orders.hpp), and what becomes of mail by it. An order is looked at where a round of a message begins
// (start_round) and again where a request is about to be given out (deliver): what came in between is not missed.
//
// suspend: the recipient is deferred, as by defer_transports; when the order ends, what it held up is due.
// bounce: the recipient is returned. What waits in the queue is looked at once (look_through): what the order is not for keeps its time.
#include "services/queue_manager.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

namespace posthorn::services {

using handoff::Order;
using handoff::QueueReply;
using handoff::Verdict;

namespace {

constexpr std::string_view suspended_status = "4.3.2", returned_status = "5.7.1";
constexpr std::size_t orders_page = 1000;
/// Messages that are looked at side by side because of an order: they share the active queue with mail that goes its way.
constexpr std::size_t looked_at_once = 2000;

std::string order_end(const Order& order)
{
    if (order.until() == 0)
        return "until an operator ends it";
    return fmt::format("until {:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(order.until() / 1'000'000)));
}

std::string_view who_gave(const Order& order) { return order.by().empty() ? std::string_view("an operator") : std::string_view(order.by()); }

}  // namespace

// ---- Given, ended

/// One change at a time; it counts when it is on stable storage.
awaitable<Result<void>> QueueManager::change_orders(std::function<Result<void>(schedule::Orders&)> change)
{
    while (changing_orders_) {
        if (co_await cancelled())
            co_return Error{"the queue manager ends", "4.3.2"};
        co_await orders_changed_.wait();
    }
    changing_orders_ = true;
    schedule::Orders next = orders_;
    Result<void> done = change(next);
    if (done && keep_orders)
        done = co_await keep_orders(next.stored());
    if (done)
        orders_ = std::move(next);
    changing_orders_ = false;
    orders_changed_.notify_all();
    co_return done;
}

awaitable<Result<QueueReply>> QueueManager::give_order(Order wanted)
{
    CO_TRY(wanted, schedule::order_in_form(std::move(wanted)));
    Order given;
    CO_TRY_VOID(co_await change_orders([&](schedule::Orders& orders) -> Result<void> {
        TRY(given, orders.give(wanted, clock_.wall()));
        return {};
    }));
    ++orders_given_;
    order_counts_[given.number()].returned = 0;
    log_.info("order of {}, {}: {}", who_gave(given), order_end(given), schedule::order_text(given));
    take_back_from(given);
    if (given.kind() == Order::BOUNCE)
        tasks_.spawn(look_through(given));
    wake_.notify_all();  // run() looks at its end
    QueueReply reply;
    *reply.add_orders() = with_counts(given);
    co_return reply;
}

awaitable<Result<QueueReply>> QueueManager::end_orders(Order named)
{
    if (!named.destination().empty()) {
        CO_TRY(*named.mutable_destination(), schedule::order_destination(named.destination()));
    }
    if (!named.sender().empty()) {
        CO_TRY(*named.mutable_sender(), schedule::order_sender(named.sender()));
    }
    std::vector<Order> ended;
    CO_TRY_VOID(co_await change_orders([&](schedule::Orders& orders) -> Result<void> {
        ended = orders.end(named.destination(), named.sender());
        return {};
    }));
    QueueReply reply;
    for (const Order& order : ended)
        *reply.add_orders() = with_counts(order);
    let_go(ended, fmt::format("ended by {}", who_gave(named)));
    co_return reply;
}

awaitable<void> QueueManager::expire_orders()
{
    std::vector<Order> ended;
    const auto kept = co_await change_orders([&](schedule::Orders& orders) -> Result<void> {
        ended = orders.end_of_time(clock_.wall());
        return {};
    });
    if (!kept) {
        log_.warning("{}; what is kept there is over all the same", kept.error().text());
        ended = orders_.end_of_time(clock_.wall());
    }
    let_go(ended, "its time is over");
    expiring_orders_ = false;
    wake_.notify_all();
}

awaitable<void> QueueManager::orders_earlier(WallTime::duration back)
{
    const auto kept = co_await change_orders([back](schedule::Orders& orders) -> Result<void> {
        orders.earlier(back);
        return {};
    });
    if (!kept)
        log_.warning("{}", kept.error().text());
    wake_.notify_all();
}

/// What these held up is due.
void QueueManager::let_go(const std::vector<Order>& ended, std::string_view why)
{
    for (const Order& order : ended) {
        const Order counted = with_counts(order);
        const std::string what = order.kind() == Order::SUSPEND ? fmt::format("{} messages go now", counted.held_up())
                                                                : fmt::format("mail of {} recipients was returned", counted.returned());
        log_.info("order of {} is over, {}: {}: {}", who_gave(order), why, schedule::order_text(order), what);
    }
    std::vector<Key> waiting;
    for (const auto& [key, numbers] : held_up_)
        if (std::ranges::any_of(numbers, [&](std::uint64_t number) { return std::ranges::find(ended, number, &Order::number) != ended.end(); }))
            waiting.push_back(key);
    for (const Key key : waiting)
        held_up_no_more(key);
    for (const Order& order : ended)
        order_counts_.erase(order.number());
    tasks_.spawn(look_at_all(std::move(waiting)));
}

/// They may be a million: others have their turn in between.
awaitable<void> QueueManager::look_at_all(std::vector<Key> keys)
{
    for (std::size_t at = 0; at < keys.size() && !co_await cancelled(); ++at) {
        // What asks for its routes has not looked at orders yet.
        if (const auto found = active_.find(keys[at]); found == active_.end() || found->second.routes.size() == found->second.recipients.size())
            look_at(keys[at]);
        if (at % looked_at_once == looked_at_once - 1)
            co_await asio::post(executor_, use_awaitable);
    }
}

Order QueueManager::with_counts(Order order) const
{
    if (const auto found = order_counts_.find(order.number()); found != order_counts_.end()) {
        order.set_held_up(found->second.held_up);
        order.set_returned(found->second.returned);
    }
    return order;
}

QueueReply QueueManager::orders_in_force() const
{
    QueueReply reply;
    for (const Order& order : orders_.all())
        if (order.until() == 0 || order.until() > now())
            *reply.add_orders() = with_counts(order);
    return reply;
}

// ---- What becomes of mail

/// Reports and notices of ours have nobody to be returned to, whatever address stands in their envelope.
std::string_view QueueManager::order_sender(const handoff::Envelope& envelope)
{
    return envelope.purpose() == handoff::PURPOSE_NOTIFICATION ? std::string_view() : std::string_view(envelope.sender());
}

const Order* QueueManager::order_for(const Active& active, std::size_t at) const
{
    return orders_.empty() ? nullptr
                           : orders_.for_mail(active.recipients[at].address(), active.routes[at], order_sender(active.envelope), clock_.wall());
}

/// The same once mail of a pool has another way, where there is one that no order is for.
const Order* QueueManager::order_beside_pool(Active& active, std::size_t at)
{
    const Order* const order = order_for(active, at);
    if (!order || order->kind() != Order::SUSPEND || active.routes[at].pool().empty())
        return order;
    choose(active.routes[at], active.envelope.queue_id(), order_sender(active.envelope));
    return order_for(active, at);
}

Verdict QueueManager::verdict_of(const Order& order, Active& active, std::uint32_t recipient)
{
    if (order.kind() == Order::SUSPEND) {
        held_up_by(active.lease.key, order.number());
        return own_verdict(recipient, handoff::OUTCOME_DEFERRED, std::string(suspended_status), schedule::order_text(order));
    }
    Verdict verdict = own_verdict(recipient, handoff::OUTCOME_BOUNCED, std::string(returned_status), schedule::order_text(order));
    active.returned_by_order.insert(recipient);
    order_counts_[order.number()].returned += soft(verdict) ? 0 : 1;
    return verdict;
}

bool QueueManager::under_order(const schedule::Request& request) const
{
    if (orders_.empty())
        return false;
    const Active& active = active_.at(request.message);
    return std::ranges::any_of(request.recipients, [&](std::uint32_t index) { return order_for(active, position(active, index)) != nullptr; });
}

/// What is not given out yet of a message's recipients that an order is for gets its verdict.
awaitable<void> QueueManager::obey(Key key)
{
    const auto found = active_.find(key);
    if (orders_.empty() || found == active_.end() || found->second.removed || !scheduler_.is_active(key))
        co_return;
    Active& active = found->second;
    std::vector<std::uint32_t> wanted;
    for (std::size_t at = 0; at < active.routes.size(); ++at)
        if (order_for(active, at))
            wanted.push_back(active.recipients[at].index());
    const std::vector<std::uint32_t> taken = scheduler_.withhold(key, wanted);
    if (taken.empty())
        co_return;
    std::vector<Verdict> waits, returned;
    std::vector<schedule::RoutedRecipient> others;  // which have another way; or whose order has ended this moment
    for (const std::uint32_t index : taken) {
        const std::size_t at = position(active, index);
        if (const Order* const order = order_beside_pool(active, at))
            (order->kind() == Order::SUSPEND ? waits : returned).push_back(verdict_of(*order, active, index));
        else
            others.push_back(routed(active, index));
    }
    if (!others.empty())
        scheduler_.activate(key, std::move(others), manner_of(active.envelope));
    log_own(active, waits, "retry");
    log_own(active, returned, "error");
    std::ranges::move(returned, std::back_inserter(waits));
    co_await settle(key, scheduler_.take_attempt(), std::move(waits));
    if (scheduler_.suspended_done({.message = key, .recipients = taken, .reason = {}, .until = {}}))
        co_await round_done(key);
    else
        pump();
}

/// Of mail that waits for its turn, here and in delivery processes. What has begun ends as it does.
void QueueManager::take_back_from(const Order& order)
{
    std::vector<Key> waiting;
    for (const auto& [key, active] : active_)
        for (std::size_t at = 0; at < active.routes.size(); ++at)
            if (const Order* counts = order_for(active, at); counts && counts->number() == order.number()) {
                waiting.push_back(key);
                break;
            }
    for (const Key key : waiting) {
        call_back(key);
        tasks_.spawn(obey(key));
    }
}

/// Why an address is not asked about now. What mail there would hear of a bounce is no word about the address.
std::optional<std::string> QueueManager::ordered(const handoff::Route& route, std::string_view address, std::string_view sender) const
{
    const Order* const order = orders_.for_mail(address, route, sender, clock_.wall());
    return order ? std::optional(schedule::order_text(*order)) : std::nullopt;
}

// ---- What waits in the queue

/// Mail that it may be for is looked at, once; which way it goes is known only then.
awaitable<void> QueueManager::look_through(Order order)
{
    for (std::uint64_t after = 0;;) {
        const auto page = co_await store_.load(after, orders_page);
        if (!page) {
            log_.warning("the queue was not looked through for an order: {}", page.error().text());
            co_return;
        }
        for (const spool::Scheduled& message : page->entries)
            if (const auto next_try = deferred_.next_try(message.lease.key);
                next_try && std::ranges::any_of(message.recipients, [&](const spool::ScheduledRecipient& recipient) {
                    return schedule::may_be_for(order, recipient.address, message.sender);
                }))
                look_only(message.lease.key, *next_try);
        after = page->next;
        while (looked_at_.size() >= looked_at_once && !co_await cancelled())
            co_await sleep_for(std::chrono::milliseconds{20});
        const Order* const now_in_force = orders_.numbered(order.number());
        if (page->done || co_await cancelled() || !now_in_force || now_in_force->since() != order.since())
            co_return;
    }
}

/// Whether an order to return mail came while a round of this message was under way: what was deferred in it is looked at again.
bool QueueManager::look_again(Key key) const
{
    const Active& active = active_.at(key);
    return active.orders_seen != orders_given_ && std::ranges::any_of(orders_.all(), [&](const Order& order) {
               return order.kind() == Order::BOUNCE && std::ranges::any_of(active.recipients, [&](const handoff::Recipient& recipient) {
                          return schedule::may_be_for(order, recipient.address(), active.envelope.sender());
                      });
           });
}

/// Its next round is about orders alone, unless its time has come.
void QueueManager::look_only(Key key, WallTime next_try)
{
    if (!deferred_.next_try(key))  // on hold, or requeued
        return;
    looked_at_.try_emplace(key, next_try);
    deferred_.put(key, clock_.wall());
    wake_.notify_all();
}

bool QueueManager::is_only_looked_at(Key key) const
{
    const auto found = looked_at_.find(key);
    return found != looked_at_.end() && found->second > clock_.wall();
}

void QueueManager::held_up_by(Key key, std::uint64_t order)
{
    std::vector<std::uint64_t>& orders = held_up_[key];
    if (std::ranges::find(orders, order) != orders.end())
        return;
    orders.push_back(order);
    ++order_counts_[order].held_up;
}

void QueueManager::held_up_no_more(Key key)
{
    const auto found = held_up_.find(key);
    if (found == held_up_.end())
        return;
    for (const std::uint64_t order : found->second)
        if (const auto count = order_counts_.find(order); count != order_counts_.end() && count->second.held_up > 0)
            --count->second.held_up;
    held_up_.erase(found);
}

/// At the start: what was deferred as an order defers it, and may have been by this one.
void QueueManager::remember_orders(const spool::Scheduled& message)
{
    for (const Order& order : orders_.all())
        if (order.kind() == Order::SUSPEND && std::ranges::any_of(message.recipients, [&](const spool::ScheduledRecipient& recipient) {
                return recipient.status == suspended_status && schedule::may_be_for(order, recipient.address, message.sender);
            }))
            held_up_by(message.lease.key, order.number());
}

}  // namespace posthorn::services
