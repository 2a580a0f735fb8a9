// A queue is handed to another instance, and taken over from one: `posthorn hand-over`, `posthorn take-over`.
//
// A message is marked in the store before anybody hears of it, and leaves when it is on stable storage at the target. In between, whatever ends, it stays here and on
// hold, and only the target knows whether it is there: it is asked when the two meet again. So one of the two delivers it, and never both.
#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "services/queue_manager.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace posthorn::services {

using handoff::HandOver;
using handoff::HandOverReply;
using handoff::MovingMessage;
using handoff::TakenMessage;
using handoff::TakeOver;
using handoff::TakeOverReply;

namespace {

/// Of content in one reply; one message always fits.
constexpr std::size_t offered_octets = 4 << 20;

Result<std::string> new_identity()
{
    std::array<unsigned char, 16> octets{};
    if (::getrandom(octets.data(), octets.size(), 0) != static_cast<ssize_t>(octets.size()))
        return system_error("getrandom", errno);
    std::string text;
    for (const unsigned char octet : octets)
        text += fmt::format("{:02x}", octet);
    return text;
}

MovingMessage moving(spool::StoredMessage stored)
{
    MovingMessage made;
    made.set_queue_id(stored.envelope.queue_id());
    *made.mutable_envelope() = std::move(stored.envelope);
    made.mutable_envelope()->clear_queue_id();
    made.set_hold(stored.held_before);
    made.set_expire(stored.expire);
    made.set_warned(stored.warned);
    made.set_requeue(stored.requeue);
    std::uint32_t index = 0;
    for (spool::RecipientState& state : stored.recipients) {
        handoff::Recipient& recipient = *made.mutable_envelope()->add_recipients();
        recipient = std::move(state.recipient);
        recipient.set_index(index++);
        handoff::MovingRecipient& was = *made.add_states();
        was.set_tries(state.tries);
        was.set_next_try(state.next_try.time_since_epoch().count());
        if (state.last)
            *was.mutable_last() = *std::move(state.last);
    }
    return made;
}

spool::NewMessage arrived(MovingMessage message, const std::string& source)
{
    spool::NewMessage made;
    made.envelope = std::move(*message.mutable_envelope());
    made.content = std::move(*message.mutable_content());
    made.envelope.set_hold(message.hold());
    if (made.envelope.account().starts_with("uid:")) {  // another user has that number here
        made.envelope.clear_account();
        made.envelope.clear_submitter();
    }
    spool::TakenOver& taken = made.taken_over.emplace();
    taken.source = source;
    taken.queue_id = message.queue_id();
    taken.expire = message.expire();
    taken.warned = message.warned();
    taken.requeue = message.requeue();
    for (handoff::MovingRecipient& was : *message.mutable_states()) {
        spool::RecipientState& state = taken.states.emplace_back();
        state.tries = was.tries();
        state.next_try = WallTime{std::chrono::microseconds{was.next_try()}};
        if (was.has_last())
            state.last = std::move(*was.mutable_last());
    }
    return made;
}

template <class Reply>
Reply no(std::string text)
{
    Reply reply;
    reply.set_failed(true);
    reply.set_text(std::move(text));
    return reply;
}

}  // namespace

/// One change at a time, or two who are the first to ask would hear of two identities. It counts when it is on stable storage.
awaitable<Result<void>> QueueManager::change_moving(std::function<void(handoff::StoredMoving&)> change)
{
    while (changing_moving_) {
        if (co_await cancelled())
            co_return Error{"the queue manager ends", "4.3.2"};
        co_await moving_changed_.wait();
    }
    handoff::StoredMoving wanted = moving_;
    change(wanted);
    if (wanted.identity().empty()) {
        CO_TRY(*wanted.mutable_identity(), new_identity());
    }
    if (wanted.SerializeAsString() == moving_.SerializeAsString())
        co_return Result<void>{};
    Result<void> done;
    if (keep_moving) {
        changing_moving_ = true;
        done = co_await keep_moving(wanted);
        changing_moving_ = false;
        moving_changed_.notify_all();
    }
    if (done)
        moving_ = std::move(wanted);
    co_return done;
}

std::string QueueManager::leaving_text() const
{
    return fmt::format(
        "bound for the queue of {}, which has not said that it is there: repeat posthorn hand-over, or keep it here by posthorn hand-over --take-back",
        moving_.target_name().empty() ? "another instance" : moving_.target_name());
}

void QueueManager::say_what_is_leaving() const
{
    if (!leaving_.empty())
        log_.warning("{} messages are on hold, each {}", leaving_.size(), leaving_text());
}

/// Those of them that are bound for another queue are nobody's but the target's: what is done to them here would be done to one of two.
std::string QueueManager::without_leaving(std::vector<spool::Lease>& leases) const
{
    const std::size_t before = leases.size();
    std::erase_if(leases, [this](const spool::Lease& lease) { return leaving_.contains(lease.key); });
    if (before == leases.size())
        return {};
    return fmt::format("{} left as it is: {}\n",
                       before - leases.size() == 1 ? std::string("a message is") : fmt::format("each of {} messages is", before - leases.size()),
                       leaving_text());
}

/// Before the delivery processes that outlived a restart have said what they hold, it may be any message.
bool QueueManager::in_hand(Key key) const
{
    return !united_ || active_.contains(key) || starting_.contains(key) || foreign_messages_.contains(key) || uniting_.contains(key) ||
           given_.contains(key);
}

// ---- The queue they leave

awaitable<Result<HandOverReply>> QueueManager::hand_over(HandOver asked)
{
    if (!co_await whole())
        co_return Error{"the queue manager ends", "4.3.2"};
    switch (asked.step()) {
    case HandOver::BEGIN: co_return co_await begin_handing_over(std::move(asked));
    case HandOver::OFFER: co_return co_await offer(std::move(asked));
    case HandOver::DONE: co_return co_await handed_over(std::move(asked));
    case HandOver::BACK: co_return co_await keep_after_all(std::move(asked));
    case HandOver::END: {
        if (leaving_.empty())
            CO_TRY_VOID(co_await change_moving([](handoff::StoredMoving& moving) {
                moving.clear_target();
                moving.clear_target_name();
                moving.clear_since();
            }));
        co_return HandOverReply{};
    }
    default: co_return Error{fmt::format("hand-over step {} is not served here", static_cast<int>(asked.step())), "5.5.1"};
    }
}

awaitable<Result<HandOverReply>> QueueManager::begin_handing_over(HandOver asked)
{
    if (asked.target().empty())
        co_return no<HandOverReply>("the other queue has no identity");
    if (asked.target() == moving_.identity())
        co_return no<HandOverReply>("the other queue is this one");
    if (!leaving_.empty() && asked.target() != moving_.target())
        co_return no<HandOverReply>(fmt::format("{} messages are {}", leaving_.size(), leaving_text()));
    CO_TRY_VOID(co_await change_moving([&](handoff::StoredMoving& moving) {
        if (moving.target() == asked.target() && moving.target_name() == asked.name())
            return;
        moving.set_target(asked.target());
        moving.set_target_name(asked.name());
        moving.set_since(now());
    }));
    HandOverReply reply;
    reply.set_source(moving_.identity());
    const std::vector<Key> bound(leaving_.begin(), leaving_.end());
    for (const Key key : bound)
        if (const auto epoch = epochs_.find(key); epoch != epochs_.end())
            if (auto stored = co_await store_.read({key, epoch->second}))
                reply.add_in_doubt(stored->envelope.queue_id());
    co_return reply;
}

awaitable<Result<HandOverReply>> QueueManager::offer(HandOver asked)
{
    if (asked.target().empty() || asked.target() != moving_.target())
        co_return no<HandOverReply>("that is not the queue which mail is handed to");
    std::vector<std::pair<spool::Lease, std::string>> wanted;
    std::vector<spool::Lease> fresh;
    for (const std::string& id : asked.queue_ids()) {
        CO_TRY(const auto found, co_await store_.find(id));
        if (!found)
            continue;
        wanted.emplace_back(*found, id);
        if (!leaving_.contains(found->key))
            fresh.push_back(*found);
    }
    CO_TRY_VOID(co_await store_.alter(fresh, {.hold = {}, .expire = {}, .next_try = {}, .leaving = true}));
    for (const spool::Lease& lease : fresh)
        if (epochs_.contains(lease.key)) {
            leaving_.insert(lease.key);
            stop_here(lease.key);
        }
    HandOverReply reply;
    std::size_t octets = 0;
    for (const auto& [lease, id] : wanted) {
        if (!leaving_.contains(lease.key))  // it was delivered meanwhile
            continue;
        if (in_hand(lease.key) || octets >= offered_octets) {
            reply.add_later(id);
            continue;
        }
        auto message = co_await as_moving(lease);
        if (!message && message.error().status().empty())
            co_return message.error();
        if (!message) {
            TakenMessage& unreadable = *reply.add_unreadable();
            unreadable.set_queue_id(id);
            unreadable.set_text(message.error().text());
            continue;
        }
        octets += message->ByteSizeLong();
        *reply.add_messages() = *std::move(message);
    }
    co_return reply;
}

/// With its content, where that is small; else it is certain that it can be opened.
awaitable<Result<MovingMessage>> QueueManager::as_moving(spool::Lease lease)
{
    CO_TRY(auto stored, co_await store_.read(lease));
    MovingMessage message = moving(std::move(stored));
    CO_TRY(const auto reader, co_await store_.content(lease));
    if (message.envelope().size() <= handoff::inline_content_limit) {
        CO_TRY(*message.mutable_content()->mutable_inline_octets(), reader->octets());
    }
    co_return message;
}

awaitable<Result<HandOverReply>> QueueManager::handed_over(HandOver asked)
{
    struct Gone {
        handoff::Envelope envelope;
        std::string headers, there;
    };
    std::vector<spool::Lease> leases;
    std::vector<std::string> lines;
    std::vector<Gone> recorded;
    for (int at = 0; at < asked.queue_ids_size(); ++at) {
        CO_TRY(const auto found, co_await store_.find(asked.queue_ids(at)));
        if (!found || !leaving_.contains(found->key))
            continue;
        leases.push_back(*found);
        const std::string there = at < asked.there_size() && !asked.there(at).empty() ? " as " + asked.there(at) : std::string();
        if (records(handoff::RecordType::xfer_out))
            if (auto stored = co_await store_.read(*found)) {
                Gone& gone = recorded.emplace_back(std::move(stored->envelope), co_await stored_headers(*found),
                                                   at < asked.there_size() ? asked.there(at) : "");
                for (spool::RecipientState& state : stored->recipients)
                    *gone.envelope.add_recipients() = std::move(state.recipient);
            }
        lines.push_back(fmt::format("{}: handed over to {}{}", asked.queue_ids(at), printable(moving_.target_name(), true), printable(there, true)));
    }
    CO_TRY(const auto removed, co_await remove_some(std::move(leases)));
    for (const std::string& line : lines) {
        log_.info("{}", line);
        log_.info("{}: removed", line.substr(0, line.find(':')));
    }
    for (const Gone& gone : recorded)
        record_moved(gone.envelope, {handoff::RecordType::xfer_out, moving_.target_name(), gone.there}, gone.headers);
    counts_.removed += removed;
    counts_.handed_over += removed;
    HandOverReply reply;
    reply.set_count(removed);
    co_return reply;
}

awaitable<Result<HandOverReply>> QueueManager::keep_after_all(HandOver asked)
{
    std::vector<spool::Lease> leases;
    for (const std::string& id : asked.queue_ids()) {
        if (id == "ALL") {
            for (const Key key : leaving_)
                leases.push_back({key, epochs_.at(key)});
            continue;
        }
        CO_TRY(const auto found, co_await store_.find(id));
        if (found && leaving_.contains(found->key))
            leases.push_back(*found);
    }
    CO_TRY_VOID(co_await store_.alter(leases, {.hold = {}, .expire = {}, .next_try = {}, .leaving = false}));
    HandOverReply reply;
    for (const spool::Lease& lease : leases) {
        auto scheduled = co_await store_.scheduled(lease);
        if (leaving_.erase(lease.key) == 0)  // it was delivered meanwhile
            continue;
        held_.erase(lease.key);
        if (scheduled && !active_.contains(lease.key))
            find_place(*scheduled);
        else if (scheduled && scheduled->hold)
            held_.insert(lease.key);
        count_place(lease.key);
        reply.set_count(reply.count() + 1);
    }
    wake_.notify_all();
    co_return reply;
}

// ---- The queue they come to

awaitable<Result<TakeOverReply>> QueueManager::take_over(TakeOver asked)
{
    if (!co_await whole())
        co_return Error{"the queue manager ends", "4.3.2"};
    TakeOverReply reply;
    switch (asked.step()) {
    case TakeOver::BEGIN:
        CO_TRY_VOID(co_await change_moving([](handoff::StoredMoving&) {}));  // it has an identity
        reply.set_target(moving_.identity());
        co_return reply;
    case TakeOver::IDS:
        for (std::uint32_t number = 0; number < std::min(asked.count(), 1000U); ++number) {
            std::string id = next_queue_id();
            if (id.empty()) {
                CO_TRY_VOID(co_await fetch_ids());
                id = next_queue_id();
            }
            reply.add_queue_ids(std::move(id));
        }
        co_return reply;
    case TakeOver::TAKE: co_return co_await take(std::move(asked));
    case TakeOver::KNOWN: {
        CO_TRY(const auto known, co_await store_.taken_over(asked.source(), {asked.queue_ids().begin(), asked.queue_ids().end()}));
        for (const auto& [there, here] : known) {
            TakenMessage& taken = *reply.add_taken();
            taken.set_queue_id(there);
            taken.set_here(here);
            taken.set_before(true);
        }
        co_return reply;
    }
    case TakeOver::FORGET:
        CO_TRY_VOID(co_await store_.forget_taken_over(asked.source(), {asked.queue_ids().begin(), asked.queue_ids().end()}));
        co_return reply;
    default: co_return Error{fmt::format("take-over step {} is not served here", static_cast<int>(asked.step())), "5.5.1"};
    }
}

/// All that come together share commits. Where the fate of one is unknown nobody is answered: the source asks again.
awaitable<Result<TakeOverReply>> QueueManager::take(TakeOver asked)
{
    if (asked.source().empty())
        co_return no<TakeOverReply>("the queue that mail comes from has no identity");
    TakeOverReply reply;
    std::optional<Error> unknown;
    for (int at = 0; at < asked.messages_size(); ++at)
        reply.add_taken()->set_queue_id(asked.messages(at).queue_id());
    TaskGroup group(executor_);
    for (int at = 0; at < asked.messages_size(); ++at)
        group.spawn(take_one(std::move(*asked.mutable_messages(at)), asked.source(), asked.name(), reply.mutable_taken(at), &unknown));
    co_await group.drained();
    wake_.notify_all();
    if (unknown)
        co_return *std::move(unknown);
    CO_TRY_VOID(co_await on_both());
    co_return reply;
}

awaitable<void> QueueManager::take_one(MovingMessage message, std::string source, std::string name, TakenMessage* told, std::optional<Error>* unknown)
{
    const std::string there = message.queue_id();
    const auto made = std::make_shared<const spool::NewMessage>(arrived(std::move(message), source));
    const auto lease = co_await store_.enqueue(made);
    if (!lease) {
        if (lease.error().status().empty())
            *unknown = lease.error();
        told->set_status(lease.error().status());
        told->set_text(lease.error().text());
        co_return;
    }
    if (lease->key == 0 || epochs_.contains(lease->key)) {
        const auto known = co_await store_.taken_over(source, {there});
        if (!known || known->empty()) {
            *unknown = known ? Error{"what was taken over before is not known any more", "4.3.0"} : known.error();
            co_return;
        }
        told->set_here(known->front().second);
        told->set_before(true);
        co_return;
    }
    epochs_[lease->key] = lease->epoch;
    starting_.insert(lease->key);
    const auto scheduled = co_await store_.scheduled(*lease);
    const std::string headers = records(handoff::RecordType::xfer_in) ? co_await stored_headers(*lease) : std::string();
    starting_.erase(lease->key);
    const handoff::Envelope& envelope = made->envelope;
    told->set_here(envelope.queue_id());
    log_.info("{}: taken over from {}, there {}", envelope.queue_id(), printable(name, true), printable(there, true));
    record_moved(envelope, {handoff::RecordType::xfer_in, name, there}, headers);
    ++counts_.taken_over;
    if (!epochs_.contains(lease->key))  // deleted meanwhile
        co_return;
    if (!scheduled) {
        *unknown = scheduled.error();
        co_return;
    }
    count_stored(*scheduled);
    find_place(*scheduled);
    count_place(lease->key);
}

}  // namespace posthorn::services
