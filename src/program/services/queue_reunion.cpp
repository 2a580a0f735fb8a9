// What a restarted qmgr hears from the delivery processes that outlived the one before.
#include "services/queue_manager.hpp"

#include <algorithm>

namespace posthorn::services {

awaitable<void> QueueManager::reunited(handoff::Hello hello, std::weak_ptr<ipc::Channel> worker)
{
    for (const handoff::Flight& flight : hello.flights()) {
        if (Given* one = given(flight.message(), flight.attempt())) {  // of another connection of the same process
            one->worker = worker;
            one->fate = Fate::in_hand;
        } else if (foreign_.emplace(flight.attempt(), flight).second) {
            foreign_process_[flight.attempt()] = hello.process();
            ++foreign_messages_[flight.message()];
            given_[flight.message()].push_back(
                {.attempt = flight.attempt(), .worker = worker, .process = hello.process(), .ours = false, .late = {}});
        }
    }
    std::unordered_set<std::uint64_t> held;
    for (const handoff::Verdicts& verdicts : hello.held())
        held.insert(verdicts.attempt());
    // What was given to it by another connection than this, and is neither in its hands nor done, never reached it.
    const auto connection = worker.lock();
    for (auto& [key, attempts] : given_)
        for (Given& one : attempts)
            if (one.ours && one.process == hello.process() && one.worker.lock() != connection && !held.contains(one.attempt))
                one.fate = Fate::never_came;
    reunion_.notify_all();
    // Side by side: each message is claimed at once, and they share commits. One after the other, the last of thousands would be tried again before its turn
    // comes (options_.reunion). They wait for the rest of the queue.
    const auto open = std::make_shared<std::size_t>(static_cast<std::size_t>(hello.held_size()));
    for (handoff::Verdicts& verdicts : *hello.mutable_held())
        tasks_.spawn(take_held(std::move(verdicts), open));
    while (*open > 0 && !co_await cancelled())
        co_await settled_.wait();
    awaited_.erase(hello.process());  // last: from here on its messages may be tried
    wake_.notify_all();
}

awaitable<void> QueueManager::take_held(handoff::Verdicts verdicts, std::shared_ptr<std::size_t> open)
{
    if (auto stored = co_await late_verdicts(std::move(verdicts)); !stored)
        log_.warning("verdict of before the restart: {}", stored.error().text());
    --*open;
    settled_.notify_all();
}

void QueueManager::parted(std::uint32_t process)
{
    awaited_.erase(process);
    for (auto& [key, given] : given_)
        for (Given& one : given)
            if (one.ours && one.process == process)
                one.fate = Fate::ended;
    reunion_.notify_all();
    std::vector<std::uint64_t> attempts;
    for (const auto& [attempt, owner] : foreign_process_)
        if (owner == process)
            attempts.push_back(attempt);
    for (const std::uint64_t attempt : attempts)
        end_foreign(attempt);
}

void QueueManager::end_foreign(std::uint64_t attempt)
{
    const auto found = foreign_.find(attempt);
    if (found == foreign_.end())
        return;
    const Key key = found->second.message();
    foreign_.erase(found);
    foreign_process_.erase(attempt);
    no_longer_given(key, attempt);
    if (const auto count = foreign_messages_.find(key); count != foreign_messages_.end() && --count->second == 0) {
        foreign_messages_.erase(count);
        if (epochs_.contains(key) && !active_.contains(key) && !held_.contains(key) && !deferred_.next_try(key))
            deferred_.put(key, clock_.wall());
    }
    wake_.notify_all();
}

/// Deliveries of one message may end together: each verdict waits for the one before it, or it would find a round under way and be lost.
awaitable<Result<handoff::VerdictsStored>> QueueManager::late_verdicts(handoff::Verdicts verdicts)
{
    handoff::VerdictsStored stored;
    const std::uint64_t attempt = verdicts.attempt();
    stored.add_attempts(attempt);
    const Key key = verdicts.message();
    if (Given* one = given(key, attempt); one && one->ours) {  // deliver() waits for it, or will when it hears that its connection is lost
        one->late = std::move(verdicts);
        reunion_.notify_all();
        while (given(key, attempt)) {
            if (co_await cancelled())
                co_return Error{"the queue manager ends", "4.3.2"};
            co_await reunion_.wait();
        }
        co_return stored;
    }
    ++telling_;  // no round begins without it, though its process may end meanwhile
    const auto taken = co_await take_in_turn(std::move(verdicts));
    --telling_;
    wake_.notify_all();
    if (!taken)
        co_return taken.error();
    end_foreign(attempt);
    co_return stored;
}

awaitable<Result<void>> QueueManager::take_in_turn(handoff::Verdicts verdicts)
{
    const Key key = verdicts.message();
    if (!co_await whole())  // whether it is still there is not known before
        co_return Error{"the queue manager ends", "4.3.2"};
    while (uniting_.contains(key)) {
        if (co_await cancelled())
            co_return Error{"the queue manager ends", "4.3.2"};
        co_await settled_.wait();
    }
    if (!epochs_.contains(key) || active_.contains(key))  // gone, or a new round began without it: then it counts for nothing
        co_return Result<void>{};
    uniting_.insert(key);
    auto taken = co_await take_late(std::move(verdicts));
    uniting_.erase(key);
    settled_.notify_all();
    co_return taken;
}

awaitable<Result<void>> QueueManager::take_late(handoff::Verdicts verdicts)
{
    const Key key = verdicts.message();
    CO_TRY(auto message, co_await store_.read({key, epochs_.at(key)}));
    std::string record_headers = co_await stored_headers(message.lease);
    if (active_.contains(key))
        co_return Result<void>{};
    deferred_.forget(key);
    Active active;
    active.lease = message.lease;
    active.envelope = std::move(message.envelope);
    active.warned = message.warned;
    active.since = now();
    active.next_try = WallTime::max();
    active.record_headers = std::move(record_headers);
    std::vector<handoff::Verdict> known;
    tally_.tried(key);
    for (spool::RecipientState& state : message.recipients) {
        const auto verdict = std::ranges::find(*verdicts.mutable_verdicts(), state.recipient.index(), &handoff::Verdict::recipient);
        const bool stored = state.attempt >= verdicts.attempt();  // by the manager before us, whose confirmation was lost with it
        if (verdict != verdicts.mutable_verdicts()->end() && !stored)
            known.push_back(std::move(*verdict));
        else {
            active.next_try = std::min(active.next_try, state.next_try);  // whoever has no new verdict goes when it is due, as a rule at once
            if (state.last)
                count_failure(key, state.recipient.address(), *state.last, {});
        }
        active.recipients.push_back(std::move(state.recipient));
        active.tries.push_back(state.tries);
    }
    active_.emplace(key, std::move(active));
    count_place(key);
    if (verdicts.has_shaping())
        hear(verdicts.shaping(), verdicts.attempt(), {}, key, known);
    const auto deferred = [](const handoff::Verdict& verdict) { return verdict.outcome() == handoff::OUTCOME_DEFERRED; };
    if (std::string trouble; options_.retry_schedules && std::ranges::any_of(known, deferred))
        co_await find_routes(key, &trouble);  // how long it waits may stand in a table; where that cannot be asked, main.cf's times hold
    if (!active_.contains(key))  // deleted meanwhile
        co_return Result<void>{};
    std::optional<handoff::SessionFacts> session;
    if (verdicts.has_session())
        session = std::move(*verdicts.mutable_session());
    co_await settle(key, verdicts.attempt(), std::move(known), std::move(session));
    co_await end_round(key);
    co_return Result<void>{};
}

}  // namespace posthorn::services
