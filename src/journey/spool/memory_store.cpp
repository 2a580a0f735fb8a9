#include "spool/memory_store.hpp"
#include "spool/page.hpp"

#include "handoff/queue_id.hpp"
#include "spool/incoming.hpp"
#include "spool/ledger.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace posthorn::spool {

namespace {

class SharedReader final : public ContentReader {
public:
    explicit SharedReader(std::shared_ptr<const std::string> octets) : octets_(std::move(octets)) {}
    std::uint64_t size() const override { return octets_->size(); }
    Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) const override
    {
        if (offset >= octets_->size())
            return 0;
        return octets_->copy(into.data(), into.size(), offset);
    }

private:
    std::shared_ptr<const std::string> octets_;
};

struct Message {
    StoredMessage stored;
    std::shared_ptr<const std::string> content;
    std::string file;
    std::uint32_t owner = 0;
};

}  // namespace

struct TwoNodes::Shared {
    Shared(Executor executor, FileOps& shared_files) : loop(std::move(executor)), files(shared_files) {}

    Executor loop;
    FileOps& files;
    std::map<std::uint64_t, Message> messages;
    std::set<std::string> gone;
    std::map<std::pair<std::string, std::string>, std::string> taken;
    std::uint64_t next_epoch = 2, next_attempt = 1;
    struct Node {
        std::uint64_t epoch = 1, next_sequence = 1;
        bool lost = false;
        std::function<void(std::vector<Lease>)> adopted;
    };
    std::array<Node, 2> nodes;

    Result<std::shared_ptr<const std::string>> content_of(const NewMessage& message) const
    {
        if (message.content.file().empty())
            return std::make_shared<const std::string>(message.content.inline_octets());
        std::unique_ptr<File> file;
        std::uint64_t size = 0;
        const std::string name = incoming_name(message.content.file());
        if (const int error = files.open(name, Open::read_only, file))
            return Error{fmt::format("content file {}: {}", message.content.file(), errno_text(error)), "4.3.0"};
        if (file->size(size) != 0 || size != message.envelope.size())
            return Error{"content file is not as long as its envelope says", "4.3.0"};
        std::string octets(size, '\0');
        std::size_t got = 0;
        if (file->read(0, octets, got) != 0 || got != size)
            return Error{"content file cannot be read", "4.3.0"};
        return std::make_shared<const std::string>(std::move(octets));
    }

    void drop(std::map<std::uint64_t, Message>::iterator at)
    {
        gone.insert(at->second.stored.envelope.queue_id());
        if (!at->second.file.empty())
            files.remove(incoming_name(at->second.file));
        messages.erase(at);
    }
};

namespace {

class NodeStore final : public Store {
public:
    NodeStore(TwoNodes::Shared& shared, std::uint32_t number) : shared_(shared), number_(number) {}

    awaitable<Result<Lease>> enqueue(NewMessageRef message) override
    {
        co_await turn();
        CO_TRY_VOID(fenced());
        co_return put(*message, nullptr);
    }

    awaitable<Result<bool>> was_committed(std::string queue_id) override
    {
        co_await turn();
        CO_TRY_VOID(fenced());
        co_return shared_.gone.contains(queue_id) || named(queue_id) != shared_.messages.end();
    }

    awaitable<Result<std::vector<std::pair<std::string, std::string>>>> taken_over(std::string source, std::vector<std::string> queue_ids) override
    {
        co_await turn();
        CO_TRY_VOID(fenced());
        std::vector<std::pair<std::string, std::string>> known;
        for (std::string& queue_id : queue_ids)
            if (const auto found = shared_.taken.find({source, queue_id}); found != shared_.taken.end())
                known.emplace_back(std::move(queue_id), found->second);
        co_return known;
    }

    awaitable<Result<void>> forget_taken_over(std::string source, std::vector<std::string> queue_ids) override
    {
        co_await turn();
        CO_TRY_VOID(fenced());
        for (std::string& queue_id : queue_ids)
            shared_.taken.erase({source, std::move(queue_id)});
        co_return Result<void>{};
    }

    awaitable<Result<void>> drop_file(std::string queue_id) override
    {
        co_await turn();
        CO_TRY_VOID(fenced());
        if (handoff::queue_id_sequence(queue_id) && !shared_.gone.contains(queue_id) && named(queue_id) == shared_.messages.end())
            shared_.files.remove(incoming_name(queue_id));
        co_return Result<void>{};
    }

    awaitable<Result<std::optional<Lease>>> find(std::string queue_id) override
    {
        co_await turn();
        CO_TRY_VOID(fenced());
        const auto found = named(queue_id);
        if (found == shared_.messages.end() || found->second.owner != number_)
            co_return std::optional<Lease>{};
        co_return std::optional(found->second.stored.lease);
    }

    awaitable<Result<Settled>> settle(Settlement settlement) override
    {
        co_await turn();
        CO_TRY_VOID(fenced());
        for (const NewMessageRef& report : settlement.reports) {
            if (auto error = malformed(*report, false))
                co_return std::move(*error);
            CO_TRY_VOID(shared_.content_of(*report));
            CO_TRY_VOID(number_taken(*report));
        }
        Settled settled{settlement.lease, false, {}};
        const auto found = shared_.messages.find(settlement.lease.key);
        if (found == shared_.messages.end()) {
            if (settlement.lease.epoch != shared_.nodes[number_].epoch && !held_before(settlement.lease))
                co_return stale(settlement.lease);
            settled.removed = true;
            co_return settled;
        }
        CO_TRY_VOID(check(settlement.lease));
        StoredMessage& stored = found->second.stored;
        bool changed = false;
        for (const handoff::Verdict& verdict : settlement.verdicts) {
            const auto at =
                std::ranges::find_if(stored.recipients, [&](const RecipientState& each) { return each.recipient.index() == verdict.recipient(); });
            if (at == stored.recipients.end() || settlement.attempt <= at->attempt)
                continue;
            changed = true;
            if (verdict.outcome() != handoff::OUTCOME_DEFERRED) {
                stored.recipients.erase(at);
                continue;
            }
            at->attempt = settlement.attempt;
            ++at->tries;
            at->next_try = settlement.next_try;
            at->last = stored_verdict(verdict);
        }
        if (stored.recipients.empty()) {
            const std::string queue_id = stored.envelope.queue_id();
            shared_.drop(found);
            if (settlement.disowned)
                shared_.gone.erase(queue_id);
            settled.removed = true;
        } else if (changed && settlement.warned) {
            stored.warned = true;
        }
        for (const NewMessageRef& report : settlement.reports)
            if (changed) {
                CO_TRY(const Lease lease, put(*report, nullptr));
                settled.reports.push_back(lease);
            }
        co_return settled;
    }

    awaitable<Result<std::size_t>> alter(std::vector<Lease> leases, Change change) override
    {
        co_await turn();
        CO_TRY_VOID(all_held(leases));
        std::size_t altered = 0;
        for (const Lease lease : leases) {
            const auto found = shared_.messages.find(lease.key);
            if (found == shared_.messages.end())
                continue;
            StoredMessage& stored = found->second.stored;
            stored.hold = change.hold.value_or(stored.hold);
            stored.expire = change.expire.value_or(stored.expire);
            stored.requeue = change.requeue.value_or(stored.requeue);
            if (change.leaving && *change.leaving != stored.leaving) {
                stored.leaving = *change.leaving;
                stored.hold = std::exchange(stored.held_before, stored.leaving && stored.hold) || stored.leaving;
            }
            for (RecipientState& recipient : stored.recipients)
                recipient.next_try = change.next_try.value_or(recipient.next_try);
            ++altered;
        }
        co_return altered;
    }

    awaitable<Result<std::size_t>> remove(std::vector<Lease> leases) override
    {
        co_await turn();
        CO_TRY_VOID(all_held(leases));
        std::size_t removed = 0;
        for (const Lease lease : leases)
            if (const auto found = shared_.messages.find(lease.key); found != shared_.messages.end()) {
                shared_.drop(found);
                ++removed;
            }
        co_return removed;
    }

    awaitable<Result<Lease>> replace(Lease old, NewMessageRef message) override
    {
        co_await turn();
        CO_TRY_VOID(check(old));
        if (auto error = malformed(*message, true))
            co_return std::move(*error);
        const auto found = shared_.messages.find(old.key);
        if (found->second.stored.envelope.queue_id() == message->envelope.queue_id())
            co_return Error{"a requeued message needs a queue id of its own", "4.3.0"};
        const bool takes_over = message->content.inline_octets().empty() && message->content.file().empty();
        if (takes_over && message->envelope.size() != found->second.content->size())
            co_return Error{"content is not as long as its envelope says", "4.3.0"};
        CO_TRY(const Lease lease, put(*message, takes_over ? found->second.content : nullptr));
        shared_.drop(found);
        co_return lease;
    }

    awaitable<Result<StoredMessage>> read(Lease lease) override
    {
        co_await turn();
        CO_TRY_VOID(check(lease));
        co_return shared_.messages.at(lease.key).stored;
    }

    awaitable<Result<std::unique_ptr<ContentReader>>> content(Lease lease) override
    {
        co_await turn();
        CO_TRY_VOID(check(lease));
        co_return std::unique_ptr<ContentReader>(std::make_unique<SharedReader>(shared_.messages.at(lease.key).content));
    }

    awaitable<Result<Page<Scheduled>>> load(std::uint64_t after, std::size_t limit) override { return page<Scheduled>(after, limit); }
    awaitable<Result<Page<StoredMessage>>> list(std::uint64_t after, std::size_t limit) override { return page<StoredMessage>(after, limit); }

    awaitable<Result<Scheduled>> scheduled(Lease lease) override
    {
        co_await turn();
        CO_TRY_VOID(check(lease));
        co_return as<Scheduled>(shared_.messages.at(lease.key).stored);
    }

    awaitable<Result<Block>> reserve(Counter counter, std::uint64_t count) override
    {
        co_await turn();
        CO_TRY_VOID(fenced());
        std::uint64_t& next = counter == Counter::queue_id ? shared_.nodes[number_].next_sequence : shared_.next_attempt;
        const Block block{next, count};
        next += count;
        co_return block;
    }

    void on_adopted(std::function<void(std::vector<Lease>)> adopted) override { shared_.nodes[number_].adopted = std::move(adopted); }
    awaitable<void> close() override { co_await turn(); }

private:
    awaitable<void> turn() { co_await asio::post(shared_.loop, use_awaitable); }

    static Error stale(Lease lease) { return Error{fmt::format("stale lease: epoch {}", lease.epoch), "4.3.0"}; }

    Result<void> fenced() const
    {
        if (shared_.nodes[number_].lost)
            return Error{"stale lease: this node was taken over", "4.3.0"};
        return {};
    }

    /// A message that is gone was held under this node's own epoch, or under that of its adoption.
    bool held_before(Lease lease) const { return lease.epoch > shared_.nodes[number_].epoch && lease.epoch < shared_.next_epoch; }

    Result<void> check(Lease lease) const
    {
        TRY_VOID(fenced());
        const auto found = shared_.messages.find(lease.key);
        if (found == shared_.messages.end())
            return Error{"message is not in the queue", "4.3.0"};
        if (found->second.owner != number_ || found->second.stored.lease.epoch != lease.epoch)
            return stale(lease);
        return {};
    }

    Result<void> all_held(const std::vector<Lease>& leases) const
    {
        TRY_VOID(fenced());
        for (const Lease lease : leases)
            if (shared_.messages.contains(lease.key))
                TRY_VOID(check(lease));
        return {};
    }

    std::map<std::uint64_t, Message>::iterator named(const std::string& queue_id)
    {
        return std::ranges::find_if(shared_.messages, [&](const auto& each) { return each.second.stored.envelope.queue_id() == queue_id; });
    }

    Result<void> number_taken(const NewMessage& message) const
    {
        const auto sequence = handoff::queue_id_sequence(message.envelope.queue_id());
        const auto there = shared_.messages.find(make_key(number_, sequence.value_or(0)));
        if (there != shared_.messages.end() && there->second.stored.envelope.queue_id() != message.envelope.queue_id())
            return Error{fmt::format("queue id {}: another message has this number", message.envelope.queue_id()), "4.3.0"};
        return {};
    }

    Result<Lease> put(const NewMessage& message, std::shared_ptr<const std::string> taken_over)
    {
        if (auto error = malformed(message, taken_over != nullptr))
            return std::move(*error);
        const std::uint64_t epoch = shared_.nodes[number_].epoch;
        if (shared_.gone.contains(message.envelope.queue_id()))
            return Lease{0, epoch};
        TRY_VOID(number_taken(message));
        if (message.taken_over)
            if (const auto found = shared_.taken.find({message.taken_over->source, message.taken_over->queue_id});
                found != shared_.taken.end() && found->second != message.envelope.queue_id()) {
                const auto there = named(found->second);
                return there == shared_.messages.end() ? Lease{0, epoch} : there->second.stored.lease;
            }
        const std::uint64_t key = make_key(number_, handoff::queue_id_sequence(message.envelope.queue_id()).value_or(0));  // well formed: it has one
        if (const auto there = shared_.messages.find(key); there != shared_.messages.end())
            return there->second.stored.lease;
        Message made;
        if (taken_over) {
            made.content = std::move(taken_over);
        } else {
            TRY(made.content, shared_.content_of(message));
            made.file = message.content.file();
        }
        made.owner = number_;
        made.stored.lease = {key, epoch};
        made.stored.envelope = message.envelope;
        made.stored.envelope.clear_recipients();
        made.stored.hold = message.envelope.hold();
        for (const handoff::Recipient& recipient : message.envelope.recipients())
            made.stored.recipients.push_back({recipient, 0, {}, 0, {}});
        if (message.taken_over) {
            const TakenOver& taken = *message.taken_over;
            for (std::size_t at = 0; at < taken.states.size(); ++at) {
                const RecipientState& was = taken.states[at];
                RecipientState& state = made.stored.recipients[at];
                state.tries = was.tries;
                state.next_try = was.next_try;
                if (was.last)
                    state.last = stored_verdict(*was.last);
            }
            made.stored.expire = taken.expire;
            made.stored.warned = taken.warned;
            made.stored.requeue = taken.requeue;
            shared_.taken[{taken.source, taken.queue_id}] = message.envelope.queue_id();
        }
        shared_.messages.emplace(key, std::move(made));
        return Lease{key, epoch};
    }

    template <class T>
    static T as(const StoredMessage& stored)
    {
        if constexpr (std::is_same_v<T, StoredMessage>) {
            return stored;
        } else {
            Scheduled scheduled{stored.lease,
                                stored.envelope.queue_id(),
                                stored.envelope.sender(),
                                WallTime{std::chrono::microseconds{stored.envelope.arrival()}},
                                stored.envelope.size(),
                                stored.hold,
                                stored.expire,
                                stored.warned,
                                stored.requeue,
                                stored.leaving,
                                stored.envelope.has_release() ? std::optional(stored.envelope.release()) : std::nullopt,
                                {}};
            for (const RecipientState& each : stored.recipients)
                scheduled.recipients.push_back(
                    {each.recipient.index(), each.tries, each.next_try, each.recipient.address(), each.last ? each.last->status() : std::string()});
            return scheduled;
        }
    }

    template <class T>
    awaitable<Result<Page<T>>> page(std::uint64_t after, std::size_t limit)
    {
        co_await turn();
        CO_TRY_VOID(fenced());
        Page<T> page;
        page.next = after;
        std::size_t octets = 0;
        auto at = shared_.messages.upper_bound(after);
        for (; at != shared_.messages.end() && page.entries.size() < limit && octets < page_octets; ++at)
            if (at->second.owner == number_) {
                page.next = at->first;
                page.entries.push_back(as<T>(at->second.stored));
                octets += octets_of(page.entries.back());
            }
        page.done = octets < page_octets && page.entries.size() < limit;
        co_return page;
    }

    TwoNodes::Shared& shared_;
    std::uint32_t number_;
};

}  // namespace

TwoNodes::TwoNodes(Executor loop, FileOps& files)
    : shared_(std::make_unique<Shared>(std::move(loop), files)),
      nodes_{std::make_unique<NodeStore>(*shared_, 0), std::make_unique<NodeStore>(*shared_, 1)}
{
}

TwoNodes::~TwoNodes() = default;
Store& TwoNodes::node(std::uint32_t number) { return *nodes_.at(number); }

void TwoNodes::fail_over(std::uint32_t from)
{
    shared_->nodes.at(from).lost = true;
    const std::uint32_t to = 1 - from;
    const std::uint64_t epoch = shared_->next_epoch++;
    std::vector<Lease> adopted;
    for (auto& [key, message] : shared_->messages)
        if (message.owner == from) {
            message.owner = to;
            message.stored.lease.epoch = epoch;
            adopted.push_back(message.stored.lease);
        }
    if (!adopted.empty() && shared_->nodes[to].adopted)
        asio::post(shared_->loop, [this, to, moved = std::move(adopted)]() mutable { shared_->nodes[to].adopted(std::move(moved)); });
}

void TwoNodes::rejoin(std::uint32_t node)
{
    shared_->nodes.at(node).lost = false;
    shared_->nodes.at(node).epoch = shared_->next_epoch++;
}

}  // namespace posthorn::spool
