// What operators ask of the queue (postqueue, postsuper, postcat, posthorn queue).
#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "schedule/release.hpp"
#include "services/queue_manager.hpp"

#include <fmt/format.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace posthorn::services {

using handoff::Frame;
using handoff::QueueCommand;
using handoff::QueueReply;

namespace {
/// Entries of one reply to LIST, or fewer where they are large or fewer are asked for; the caller asks on with the cursor in `text`. Each page waits for the commits
/// before it, so that a long list beside a busy queue takes as long as it has pages.
constexpr std::size_t page_entries = 2'000;
}  // namespace

awaitable<Result<QueueReply>> QueueManager::command(QueueCommand command)
{
    if (!co_await whole())
        co_return Error{"the queue manager ends", "4.3.2"};
    QueueReply reply;
    switch (command.verb()) {
    case QueueCommand::LIST: co_return co_await list(command.argument(), command.offset());
    case QueueCommand::FLUSH:
    case QueueCommand::FLUSH_SITE:
    case QueueCommand::SCHEDULE: co_return co_await flush(std::move(command));
    case QueueCommand::EXPLAIN: co_return co_await explain(std::move(command));
    case QueueCommand::ORDER: co_return co_await give_order(std::move(*command.mutable_order()));
    case QueueCommand::END_ORDER: co_return co_await end_orders(std::move(*command.mutable_order()));
    case QueueCommand::ORDERS: co_return orders_in_force();
    case QueueCommand::ACCOUNTS: co_return tell_accounts(command.argument());
    case QueueCommand::ACCOUNT_ORDER: co_return order_account(command.account_order());
    case QueueCommand::STATUS:
        reply.set_count(epochs_.size());
        reply.set_text(fmt::format("active={} deferred={} hold={} enqueued={} delivered={} bounced={} attempts={}", active_.size(), deferred_.size(),
                                   held_.size(), counts_.enqueued, counts_.delivered, counts_.bounced, counts_.attempts));
        co_return reply;
    default: break;
    }
    const QueueCommand::Verb verb = command.verb();
    const std::uint64_t offset = command.offset();
    CO_TRY(auto leases, co_await named(std::move(command)));
    if (verb == QueueCommand::CAT)
        co_return co_await cat(std::move(leases), offset);
    const std::string left_alone = without_leaving(leases);
    CO_TRY(reply, co_await change(verb, std::move(leases)));
    reply.set_text(left_alone + reply.text());
    co_return reply;
}

awaitable<Result<QueueReply>> QueueManager::change(QueueCommand::Verb verb, std::vector<spool::Lease> leases)
{
    switch (verb) {
    case QueueCommand::DELETE: return remove(std::move(leases));
    case QueueCommand::HOLD: return hold(std::move(leases));
    case QueueCommand::RELEASE: return release(std::move(leases));
    case QueueCommand::EXPIRE: return expire(std::move(leases), false);
    case QueueCommand::EXPIRE_RELEASE: return expire(std::move(leases), true);
    case QueueCommand::REQUEUE: return requeue(std::move(leases));
    default:
        return [](int number) -> awaitable<Result<QueueReply>> {
            co_return Error{fmt::format("queue command {} is not served here", number), "5.5.1"};
        }(static_cast<int>(verb));
    }
}

/// The messages that a command names: queue ids, or ALL within the queues that `argument` lists (none listed: every queue).
awaitable<Result<std::vector<spool::Lease>>> QueueManager::named(QueueCommand command)
{
    std::vector<spool::Lease> leases;
    const auto wanted = split(command.argument(), " ,");
    const auto in_wanted_queue = [&](Key key) {
        const std::string_view queue = held_.contains(key)       ? "hold"
                                       : active_.contains(key)   ? "active"
                                       : deferred_.next_try(key) ? "deferred"
                                                                 : "incoming";
        return wanted.empty() || std::ranges::find(wanted, queue) != wanted.end();
    };
    for (const std::string& id : command.queue_ids()) {
        if (id == "ALL") {
            for (const auto& [key, epoch] : epochs_)
                if (in_wanted_queue(key))
                    leases.push_back({key, epoch});
            continue;
        }
        CO_TRY(const auto found, co_await store_.find(id));
        if (found && in_wanted_queue(found->key))
            leases.push_back(*found);
    }
    co_return leases;
}

awaitable<Result<QueueReply>> QueueManager::list(std::string cursor, std::uint64_t most)
{
    const auto after = parse_number(cursor.empty() ? "0" : cursor);
    if (!after)
        co_return Error{fmt::format("bad queue cursor \"{}\"", cursor), "5.5.4"};
    CO_TRY(auto page, co_await store_.list(*after, most == 0 ? page_entries : std::min<std::uint64_t>(most, page_entries)));
    QueueReply reply;
    for (spool::StoredMessage& message : page.entries) {
        handoff::QueueEntry& entry = *reply.add_entries();
        const Key key = message.lease.key;
        entry.set_queue_name(message.hold ? "hold" : active_.contains(key) ? "active" : "deferred");
        *entry.mutable_envelope() = std::move(message.envelope);
        std::string held;
        if (const WallTime when = schedule::may_go(entry.envelope(), clock_.wall()); when > clock_.wall() && !message.hold && !active_.contains(key))
            held = schedule::held_text(when);
        for (spool::RecipientState& state : message.recipients) {
            *entry.mutable_envelope()->add_recipients() = std::move(state.recipient);
            entry.add_reasons(state.last ? state.last->text() : held);
            entry.set_tries(std::max(entry.tries(), state.tries));
        }
        if (const auto when = deferred_.next_try(key))
            entry.set_next_try(when->time_since_epoch().count());
        entry.set_forced_expire(message.expire);
    }
    reply.set_count(epochs_.size());
    if (!page.done) {
        reply.set_more(true);
        reply.set_text(std::to_string(page.next));
    }
    co_return reply;
}

awaitable<Result<QueueReply>> QueueManager::flush(QueueCommand command)
{
    QueueReply reply;
    std::vector<Key> keys;
    if (command.verb() == QueueCommand::FLUSH) {
        reply.set_count(deferred_.size());
        deferred_.flush(clock_.wall());
        looked_at_.clear();
    } else if (command.verb() == QueueCommand::SCHEDULE) {
        CO_TRY(const auto leases, co_await named(command));
        for (const spool::Lease& lease : leases)
            keys.push_back(lease.key);
    } else {
        const std::string suffix = "@" + to_lower(command.argument());
        for (std::uint64_t after = 0;;) {
            CO_TRY(const auto page, co_await store_.load(after, 10'000));
            for (const spool::Scheduled& message : page.entries)
                if (std::ranges::any_of(message.recipients, [&](const auto& recipient) { return iends_with(recipient.address, suffix); }))
                    keys.push_back(message.lease.key);
            after = page.next;
            if (page.done)
                break;
        }
    }
    for (const Key key : keys)
        if (deferred_.next_try(key)) {
            if (command.verb() == QueueCommand::SCHEDULE)
                urged_.insert(key);
            deferred_.put(key, clock_.wall());
            looked_at_.erase(key);
            reply.set_count(reply.count() + 1);
        }
    scheduler_.revive_all();
    keep_restraints();
    wake_.notify_all();
    co_return reply;
}

/// What an operator changed is looked at now; what is being delivered, when its round ends.
void QueueManager::look_at(Key key)
{
    looked_at_.erase(key);
    if (const auto found = active_.find(key); found != active_.end())
        found->second.next_try = clock_.wall();
    else if (epochs_.contains(key) && !held_.contains(key))
        deferred_.put(key, clock_.wall());
    wake_.notify_all();
}

/// What a delivery process has not begun of it comes back untried: a session may have a queue of its own.
void QueueManager::call_back(Key key)
{
    const auto found = given_.find(key);
    if (found == given_.end())
        return;
    for (const Given& given : found->second)
        if (const auto worker = given.worker.lock(); worker && worker->is_open()) {
            handoff::CallBack wanted;
            wanted.add_attempts(given.attempt);
            (void)worker->post(Frame::call_back, wanted);  // where it is lost, what was given goes on as if it had begun
        }
}

QueueManager::Given* QueueManager::given(Key key, std::uint64_t attempt)
{
    const auto found = given_.find(key);
    if (found == given_.end())
        return nullptr;
    const auto one = std::ranges::find(found->second, attempt, &Given::attempt);
    return one == found->second.end() ? nullptr : &*one;
}

void QueueManager::no_longer_given(Key key, std::uint64_t attempt)
{
    reunion_.notify_all();
    const auto found = given_.find(key);
    if (found == given_.end())
        return;
    std::erase_if(found->second, [&](const Given& one) { return one.attempt == attempt; });
    if (found->second.empty())
        given_.erase(found);
}

awaitable<Result<QueueReply>> QueueManager::hold(std::vector<spool::Lease> leases)
{
    QueueReply reply;
    std::erase_if(leases, [this](const spool::Lease& lease) { return held_.contains(lease.key); });
    CO_TRY(const auto changed, co_await store_.alter(leases, {.hold = true, .expire = {}, .next_try = {}}));
    for (const spool::Lease& lease : leases)
        stop_here(lease.key);
    reply.set_count(changed);
    co_return reply;
}

/// It is on hold from here on. What is in flight ends; what waits for its turn is taken back, here and there.
void QueueManager::stop_here(Key key)
{
    held_.insert(key);
    count_place(key);
    deferred_.forget(key);
    looked_at_.erase(key);
    held_up_no_more(key);
    call_back(key);
    if (active_.contains(key) && scheduler_.is_active(key) && scheduler_.withdraw(key))
        tasks_.spawn(round_done(key));
}

awaitable<Result<QueueReply>> QueueManager::release(std::vector<spool::Lease> leases)
{
    QueueReply reply;
    std::erase_if(leases, [this](const spool::Lease& lease) { return !held_.contains(lease.key); });
    CO_TRY(const auto changed, co_await store_.alter(leases, {.hold = false, .expire = {}, .next_try = clock_.wall()}));
    for (const spool::Lease& lease : leases) {
        held_.erase(lease.key);
        count_place(lease.key);
        look_at(lease.key);
    }
    reply.set_count(changed);
    co_return reply;
}

/// -e leaves mail that is on hold there, -f takes it off; both count what was not to expire before.
awaitable<Result<QueueReply>> QueueManager::expire(std::vector<spool::Lease> leases, bool release)
{
    QueueReply reply;
    std::vector<spool::Lease> held, fresh = leases;
    if (release)
        std::ranges::copy_if(leases, std::back_inserter(held), [this](const spool::Lease& lease) { return held_.contains(lease.key); });
    std::erase_if(fresh, [this](const spool::Lease& lease) { return expiring_.contains(lease.key); });
    CO_TRY(const auto expired, co_await store_.alter(fresh, {.hold = {}, .expire = true, .next_try = clock_.wall()}));
    for (const spool::Lease& lease : fresh) {
        expiring_.insert(lease.key);
        look_at(lease.key);
    }
    reply.set_count(expired);
    if (!held.empty()) {
        CO_TRY(const auto released, co_await this->release(std::move(held)));
        reply.set_released(released.count());
    }
    co_return reply;
}

awaitable<Result<QueueReply>> QueueManager::remove(std::vector<spool::Lease> leases)
{
    QueueReply reply;
    if (!records(handoff::RecordType::admin_bounce)) {
        CO_TRY(const auto removed, co_await remove_some(std::move(leases)));
        reply.set_count(removed);
        co_return reply;
    }
    // What is to be recorded of them is read before: not of all at once.
    constexpr std::size_t at_once = 500;
    for (std::size_t first = 0; first < leases.size(); first += at_once) {
        std::vector<spool::Lease> some(leases.begin() + static_cast<std::ptrdiff_t>(first),
                                       leases.begin() + static_cast<std::ptrdiff_t>(std::min(leases.size(), first + at_once)));
        std::vector<std::string> made;
        for (const spool::Lease& lease : some)
            std::ranges::move(co_await deletion_records(lease), std::back_inserter(made));
        CO_TRY(const auto removed, co_await remove_some(std::move(some)));
        reply.set_count(reply.count() + removed);
        for (const std::string& record : made)
            recorder_->record(record);
    }
    co_return reply;
}

awaitable<Result<std::size_t>> QueueManager::remove_some(std::vector<spool::Lease> leases)
{
    CO_TRY(const auto removed, co_await store_.remove(leases));
    for (const spool::Lease& lease : leases) {
        deferred_.forget(lease.key);
        call_back(lease.key);
        if (const auto found = active_.find(lease.key); found != active_.end()) {
            found->second.removed = found->second.deleted = true;
            if (scheduler_.is_active(lease.key) && scheduler_.withdraw(lease.key))
                tasks_.spawn(round_done(lease.key));
        } else {
            forget(lease.key);
        }
    }
    co_return removed;
}

// ---- Requeue

/// What is being delivered is requeued when its round ends: a recipient that was just delivered to must not get it again. That is noted in the
/// store, for the manager that comes after a crash. Of a hold and a requeue the later one counts: what is put on hold after its requeue was
/// asked for is requeued when it is released.
awaitable<Result<QueueReply>> QueueManager::requeue(std::vector<spool::Lease> leases)
{
    QueueReply reply;
    for (const spool::Lease& lease : leases) {
        const Key key = lease.key;
        if (active_.contains(key) || starting_.contains(key)) {
            to_requeue_.insert(key);
            if (auto noted = co_await store_.alter({lease}, {.hold = false, .expire = {}, .next_try = {}, .requeue = true}); !noted) {
                to_requeue_.erase(key);
                reply.mutable_text()->append(noted.error().text() + "\n");
                continue;
            }
            held_.erase(key);
            count_place(key);
            if (active_.contains(key) && scheduler_.is_active(key) && scheduler_.withdraw(key))
                tasks_.spawn(round_done(key));
        } else if (foreign_messages_.contains(key)) {
            reply.mutable_text()->append("a delivery of before the restart is still under way; try again later\n");
            continue;
        } else if (auto done = co_await requeue_now(lease); !done) {
            reply.mutable_text()->append(done.error().text() + "\n");
            continue;
        }
        reply.set_count(reply.count() + 1);
    }
    co_return reply;
}

awaitable<void> QueueManager::requeue_after_round(spool::Lease lease)
{
    const auto done = co_await requeue_now(lease);
    if (done)
        co_return;
    log_.warning("not requeued: {}", done.error().text());
    if (done.error().status().starts_with('4') && epochs_.contains(lease.key)) {
        // A table that cannot answer, resolve that is not there yet: it must not go out as it is, nor be forgotten.
        to_requeue_.insert(lease.key);
        if (!held_.contains(lease.key))
            deferred_.put(lease.key, clock_.wall() + options_.retry.minimal_backoff);
        co_return;
    }
    if (auto noted = co_await store_.alter({lease}, {.hold = {}, .expire = {}, .next_try = {}, .requeue = false}); !noted)
        log_.warning("{}", noted.error().text());  // it will be tried once more after a restart
}

/// The new message takes the place of the old one in one transaction; where it cannot, the old one stays as it was.
awaitable<Result<void>> QueueManager::requeue_now(spool::Lease lease)
{
    const Key key = lease.key;
    if (!epochs_.contains(key) || !starting_.insert(key).second)
        co_return Error{"message is not in the queue", "4.3.0"};
    const WallTime next_try = deferred_.next_try(key).value_or(clock_.wall());
    deferred_.forget(key);
    const bool was_held = held_.contains(key);
    auto message = co_await cleaned_anew(lease);
    Result<spool::Lease> placed = message ? Error{"message was put on hold meanwhile", "4.3.0"} : message.error();
    if (message && (was_held || !held_.contains(key)))
        placed = co_await store_.replace(lease, *message);
    if (message && !placed && !placed.error().status().empty())
        co_await drop_file_of(**message);
    starting_.erase(key);
    if (!placed) {
        if (epochs_.contains(key) && !held_.contains(key))
            deferred_.put(key, next_try);
        wake_.notify_all();
        co_return placed.error();
    }
    forget(key);
    if (placed->key != 0 && !epochs_.contains(placed->key))
        co_await take_in(*placed, **message);
    wake_.notify_all();
    co_return Result<void>{};
}

awaitable<Result<spool::NewMessageRef>> QueueManager::cleaned_anew(spool::Lease lease)
{
    CO_TRY(auto stored, co_await store_.read(lease));
    CO_TRY(const auto reader, co_await store_.content(lease));
    handoff::RequeueRequest request;
    const std::string queue_id = stored.envelope.queue_id();
    *request.mutable_envelope() = std::move(stored.envelope);
    for (spool::RecipientState& state : stored.recipients)
        *request.mutable_envelope()->add_recipients() = std::move(state.recipient);
    std::vector<Fd> descriptors;
    if (reader->descriptor() >= 0) {
        descriptors.emplace_back(::fcntl(reader->descriptor(), F_DUPFD_CLOEXEC, 0));
        if (!descriptors.back())
            co_return system_error("content", errno);
    } else {
        CO_TRY(*request.mutable_content()->mutable_inline_octets(), reader->octets());
    }
    CO_TRY(auto reply, co_await resolver_.requeue(std::move(request), std::move(descriptors)));
    if (!reply.has_message())
        co_return Error{fmt::format("{}: not accepted: {}", queue_id, std::string_view(reply.text())), reply.status()};
    auto message = std::make_shared<spool::NewMessage>();
    message->envelope = std::move(*reply.mutable_message()->mutable_envelope());
    message->content = std::move(*reply.mutable_message()->mutable_content());
    co_return message;
}

// ---- A look inside

awaitable<Result<QueueReply>> QueueManager::cat(std::vector<spool::Lease> leases, std::uint64_t offset)
{
    QueueReply reply;
    if (leases.empty())
        co_return Error{"no such message", "5.1.1"};
    CO_TRY(const auto reader, co_await store_.content(leases.front()));
    if (offset == 0) {
        CO_TRY(auto stored, co_await store_.read(leases.front()));
        handoff::QueueEntry& entry = *reply.add_entries();
        entry.set_queue_name(stored.hold ? "hold" : active_.contains(leases.front().key) ? "active" : "deferred");
        *entry.mutable_envelope() = std::move(stored.envelope);
        for (spool::RecipientState& state : stored.recipients) {
            *entry.mutable_envelope()->add_recipients() = std::move(state.recipient);
            entry.add_reasons(state.last ? state.last->text() : "");
        }
    }
    // Frames are bounded: the caller asks on.
    constexpr std::uint64_t most = 1 << 20;
    std::string octets(std::min(reader->size() - std::min(reader->size(), offset), most), '\0');
    CO_TRY(const std::size_t got, reader->read_at(offset, octets));
    octets.resize(got);
    reply.set_more(offset + got < reader->size());
    reply.set_octets(std::move(octets));
    reply.set_count(1);
    co_return reply;
}

}  // namespace posthorn::services
