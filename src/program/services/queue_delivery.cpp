// One request to a delivery process: what it is given, and what is made of its answer, of its silence, of its end.
#include "handoff/frames.hpp"
#include "handoff/verp.hpp"
#include "route/resolve.hpp"
#include "services/own_transports.hpp"
#include "services/queue_manager.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace posthorn::services {

using handoff::Frame;
using handoff::Recipient;
using handoff::Verdict;

std::size_t QueueManager::position(const Active& active, std::uint32_t index)
{
    const auto found = std::ranges::lower_bound(active.recipients, index, {}, &Recipient::index);
    return static_cast<std::size_t>(found - active.recipients.begin());
}

awaitable<Result<void>> QueueManager::attach_content(const schedule::Request& request, handoff::Content& content, std::vector<Fd>& descriptors)
{
    Active& active = active_.at(request.message);
    if (!active.resident.empty()) {
        if (request.recipients.size() < active.recipients.size()) {
            content.set_inline_octets(active.resident);
        } else {                                                // nobody else needs it; where it has to be tried again it is read
            resident_ -= active.resident.size();
            content.set_inline_octets(std::exchange(active.resident, {}));
        }
        co_return Result<void>{};
    }
    CO_TRY(const auto reader, co_await store_.content(active.lease));
    if (reader->descriptor() >= 0) {
        const int copy = ::dup(reader->descriptor());
        if (copy < 0)
            co_return system_error("content", errno);
        descriptors.emplace_back(copy);
        co_return Result<void>{};
    }
    CO_TRY(*content.mutable_inline_octets(), reader->octets());
    co_return Result<void>{};
}

namespace {

/// A message's envelope, its recipients of one request and their route, in a request; they stay the queue's, which has them back as they were.
/// Nothing is copied: that would be two dozen allocations for each request.
class Lent {
public:
    Lent(handoff::DeliveryRequest& request, handoff::Envelope& envelope, handoff::Route& route) : request_(request), envelope_(envelope)
    {
        request_.unsafe_arena_set_allocated_envelope(&envelope);
        request_.unsafe_arena_set_allocated_route(&route);
    }
    Lent(Lent&&) = delete;
    ~Lent()
    {
        (void)request_.unsafe_arena_release_envelope();
        (void)request_.unsafe_arena_release_route();
        for (; !addresses_.empty(); addresses_.pop_back()) {
            Recipient* const recipient = envelope_.mutable_recipients()->UnsafeArenaReleaseLast();
            recipient->mutable_address()->swap(*addresses_.back());
            if (std::erase(renamed_, recipient) != 0)
                recipient->clear_original();
        }
        if (sender_)
            envelope_.mutable_sender()->swap(*sender_);
    }

    /// RCPT TO will say `address`, the route's. Where that is another one (user%site@ours), what it was is told as with aliases.
    void recipient(Recipient& recipient, std::string& address)
    {
        if (recipient.original().empty() && recipient.address() != address) {
            recipient.set_original(recipient.address());
            renamed_.push_back(&recipient);
        }
        recipient.mutable_address()->swap(address);
        envelope_.mutable_recipients()->UnsafeArenaAddAllocated(&recipient);
        addresses_.push_back(&address);
    }
    void sender(std::string sender) { envelope_.mutable_sender()->swap(sender_.emplace(std::move(sender))); }

private:
    handoff::DeliveryRequest& request_;
    handoff::Envelope& envelope_;
    std::vector<std::string*> addresses_;
    std::vector<Recipient*> renamed_;
    std::optional<std::string> sender_;
};

}  // namespace

/// What a delivery process is to do.
void QueueManager::compose(const schedule::Request& request, handoff::Content& content, const ipc::Channel::Say& say)
{
    Active& active = active_.at(request.message);
    const std::size_t first = position(active, request.recipients.front());
    handoff::DeliveryRequest delivery;
    delivery.set_attempt(request.attempt);
    delivery.set_message(request.message);
    delivery.mutable_content()->Swap(&content);
    delivery.set_active_since(active.since);
    delivery.set_probe(active.envelope.purpose() == handoff::PURPOSE_VERIFY_ADDRESS);
    delivery.set_connections(request.window);
    delivery.set_set_connections(request.ceiling);
    delivery.set_ahead(request.ahead);
    delivery.set_passed_on(active.passed_on.contains(request.recipients.front()));
    Lent lent(delivery, active.envelope, active.routes[first]);
    if (!active.envelope.verp().empty())  // such a request has one recipient
        lent.sender(handoff::verp_sender(active.envelope.verp(), active.envelope.sender(), active.recipients[first]));
    for (const std::uint32_t index : request.recipients) {
        const std::size_t at = position(active, index);
        lent.recipient(active.recipients[at], *active.routes[at].mutable_address());
    }
    say(delivery);
}

/// The delivery process need not keep it any more.
void QueueManager::confirm(ipc::Channel& worker, std::uint64_t attempt)
{
    if (!worker.is_open())
        return;
    handoff::VerdictsStored stored;
    stored.add_attempts(attempt);
    (void)worker.post(Frame::verdicts_stored, stored);          // lost with the connection: then it is told again, and counts once
}

awaitable<void> QueueManager::deliver(schedule::Request request, std::uint64_t carried)
{
    const Key key = request.message;
    ++counts_.attempts;
    Result<void> attached;
    std::shared_ptr<ipc::Channel> worker;
    Result<handoff::Verdicts> reply = handoff::Verdicts{};
    std::string transport = request.transport;
    std::optional<OwnVerdict> own;
    bool ordered = false;                                      // by an operator, since it was put in line
    for (bool again = true; again;) {
        handoff::Content content;
        std::vector<Fd> descriptors;
        attached = co_await attach_content(request, content, descriptors);
        const std::string site = active_.at(key).routes[position(active_.at(key), request.recipients.front())].site();
        worker = workers_.worker_for(transport, site, request.window);
        if (!worker && !whole_ && co_await whole())            // those with verdicts of before a restart tell them first
            worker = workers_.worker_for(transport, site, request.window);
        for (const SteadyTime end = clock_.steady() + options_.worker_patience; !worker && clock_.steady() < end && !co_await cancelled();) {
            co_await worker_came_.wait_for(std::chrono::ceil<std::chrono::milliseconds>(end - clock_.steady()));
            worker = workers_.worker_for(transport, site, request.window);
        }
        ordered = under_order(request);
        if (ordered)
            break;
        if (attached && worker) {
            const std::uint32_t process = workers_.process_of(*worker);
            given_[key].push_back({.attempt = request.attempt, .worker = worker, .process = process, .late = {}});
            // A slow peer may take hours: as long as the process lives, the message is in its hands.
            reply = co_await worker->call_composed<handoff::Verdicts>(
                Frame::deliver, [&](const ipc::Channel::Say& say) { compose(request, content, say); }, std::move(descriptors),
                ipc::Channel::Patience::boundless);
            if (!reply && process != 0)
                reply = co_await beyond_the_connection(key, request.attempt, reply.error());
            if (!reply || reply->handed_back() || reply->untried())
                no_longer_given(key, request.attempt);
        }
        // What a process hands back because it is about to end was not tried: it goes to the one that took over.
        again = attached && worker && reply && reply->handed_back();
        if (again)
            workers_.left(worker.get());
    }

    if (ordered) {
        --counts_.attempts;
        co_return co_await not_tried(request, carried);
    }

    // It would loop to us: best_mx_transport has it, and it counts there.
    if (attached && worker && reply && !reply->elsewhere().empty() && !active_.at(key).passed_on.contains(request.recipients.front())) {
        confirm(*worker, request.attempt);
        own = pass_on(request, reply->elsewhere());
        transport = active_.at(key).routes[position(active_.at(key), request.recipients.front())].transport();
        if (!own) {
            carried_ -= carried;
            const bool done = scheduler_.moved(request.attempt, routed(request));
            pump();
            if (done)
                co_await round_done(key);
            co_return;
        }
    }

    // Handed back a second time it waits, as mail without a verdict does.
    if (!own && attached && worker && reply && reply->untried() && reply->elsewhere().empty()) {
        confirm(*worker, request.attempt);
        co_return co_await not_tried(request, carried);
    }

    // At a stop the delivery processes go first. What had none left was not tried: it is due when the queue opens again; and what one still
    // has, it tells the manager that comes then.
    if ((!worker || !reply) && co_await cancelled())
        co_return;

    std::vector<Verdict> verdicts;
    schedule::SiteNews news = schedule::SiteNews::none;
    std::string reason;
    const auto put_all_off = [&](std::string_view status, std::string text) {
        for (const std::uint32_t index : request.recipients)
            verdicts.push_back(own_verdict(index, handoff::OUTCOME_DEFERRED, std::string(status), text));
    };
    bool crashed = false;
    if (own) {
        for (const std::uint32_t index : request.recipients)
            verdicts.push_back(own_verdict(index, own->outcome, own->status, own->text));
        log_own(active_.at(key), verdicts, transport);
    } else if (!attached) {
        put_all_off("4.3.0", "cannot read the message: " + attached.error().text());
        log_own(active_.at(key), verdicts, "error");
    } else if (!worker) {
        scheduler_.transport_failed(transport, "mail transport unavailable");
        put_all_off("4.3.0", "mail transport unavailable");
        log_own(active_.at(key), verdicts, "error");
    } else if (reply) {
        verdicts.assign(std::make_move_iterator(reply->mutable_verdicts()->begin()), std::make_move_iterator(reply->mutable_verdicts()->end()));
        news = reply->site_failed() ? schedule::SiteNews::unreachable : schedule::SiteNews::answered;
        if (reply->site_failed() && !verdicts.empty())
            reason = verdicts.front().text();
        if (reply->has_shaping())
            hear(reply->shaping(), request.attempt, request.site, key, verdicts);
    } else {
        // The process ended with the message in hand: it may have been delivered. Once it is tried again at once; a message that
        // ends its second process waits like any other that failed.
        crashed = true;
        log_.warning("{}: the {} process ended during delivery: {}", active_.at(key).envelope.queue_id(), transport, reply.error().text());
        put_all_off("4.3.0", "unknown mail transport error");
    }
    if (auto missing = without_verdict(verdicts, request.recipients); !missing.empty()) {
        log_own(active_.at(key), missing, "error");
        std::ranges::move(missing, std::back_inserter(verdicts));
    }
    if (crashed) {
        note_crash(active_.at(key), verdicts);
        log_own(active_.at(key), verdicts, "error");
    }
    carried_ -= carried;
    const bool done = scheduler_.finished(request.attempt, news, reason);
    pump();                                                     // the slot is free; the verdict need not be on disk for the next to go
    std::optional<handoff::SessionFacts> session;
    if (attached && worker && reply && !own && reply->has_session())
        session = std::move(*reply->mutable_session());
    co_await settle(key, request.attempt, std::move(verdicts), std::move(session));
    no_longer_given(key, request.attempt);
    if (worker)
        confirm(*worker, request.attempt);
    if (done)
        co_await round_done(key);
}

/// It takes its turn again, but what an operator has ordered something for meanwhile.
awaitable<void> QueueManager::not_tried(schedule::Request request, std::uint64_t carried)
{
    carried_ -= carried;
    const bool done = scheduler_.returned(request.attempt);
    if (!done)
        co_await obey(request.message);
    pump();
    if (done)
        co_await round_done(request.message);
}

schedule::RoutedRecipient QueueManager::routed(const Active& active, std::uint32_t index) const
{
    const handoff::Route& route = active.routes[position(active, index)];
    return {index, route.transport(), route.site(), route.address(), retry_of(route).minimal_backoff};
}

/// The recipients of this request, each with its way.
std::vector<schedule::RoutedRecipient> QueueManager::routed(const schedule::Request& request) const
{
    std::vector<schedule::RoutedRecipient> made;
    for (const std::uint32_t index : request.recipients)
        made.push_back(routed(active_.at(request.message), index));
    return made;
}

/// Their way is another one for the rest of this round. A verdict: that needs no peer.
std::optional<OwnVerdict> QueueManager::pass_on(const schedule::Request& request, std::string_view elsewhere)
{
    Active& active = active_.at(request.message);
    for (const std::uint32_t index : request.recipients) {
        handoff::Route& route = active.routes[position(active, index)];
        route = route::passed_on(route, elsewhere);
        choose(route, active.envelope.queue_id(), order_sender(active.envelope));
        active.passed_on.insert(index);
    }
    return own_transport(active.routes[position(active, request.recipients.front())], active.envelope.purpose());
}

/// The connection by which it was given is lost, which is not the end of the process: it may come back, and says then what it has. Nobody else
/// is given the message before that is known. An Error: the process ended, or the queue manager does.
awaitable<Result<handoff::Verdicts>> QueueManager::beyond_the_connection(Key key, std::uint64_t attempt, Error lost)
{
    for (Given* one = given(key, attempt); one; one = given(key, attempt)) {
        if (auto late = std::exchange(one->late, std::nullopt))
            co_return *std::move(late);
        if (one->fate == Fate::never_came) {
            handoff::Verdicts untried;
            untried.set_untried(true);
            co_return untried;
        }
        if (one->fate == Fate::ended || co_await cancelled())
            break;
        co_await reunion_.wait();
    }
    co_return lost;
}

/// One verdict per recipient, whatever the process said: what was not asked is dropped from `verdicts`, what is missing is deferred by these.
std::vector<Verdict> QueueManager::without_verdict(std::vector<Verdict>& verdicts, const std::vector<std::uint32_t>& recipients) const
{
    std::unordered_set<std::uint32_t> open(recipients.begin(), recipients.end());
    std::erase_if(verdicts, [&](const Verdict& verdict) { return open.erase(verdict.recipient()) == 0; });
    std::vector<Verdict> missing;
    for (const std::uint32_t index : open)
        missing.push_back(own_verdict(index, handoff::OUTCOME_DEFERRED, "4.3.0", "the delivery process gave no verdict"));
    return missing;
}

void QueueManager::note_crash(Active& active, std::vector<Verdict>& verdicts)
{
    std::unordered_set<std::uint32_t>& before = crashed_[active.lease.key];
    const auto first_time = std::ranges::remove_if(verdicts, [&](const Verdict& verdict) { return before.insert(verdict.recipient()).second; });
    if (!first_time.empty())
        active.next_try = clock_.wall();
    verdicts.erase(first_time.begin(), first_time.end());
}

}  // namespace posthorn::services
