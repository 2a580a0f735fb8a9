#include "schedule/scheduler.hpp"

#include "schedule/scheduler_parts.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace posthorn::schedule {

using std::chrono::seconds;

namespace {
/// An idle site's window is remembered this long: the next message finds it wide.
constexpr seconds window_memory{300};
}  // namespace

Scheduler::Scheduler(SchedulerOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
Scheduler::~Scheduler() = default;

Scheduler::Transport& Scheduler::transport_of(std::string_view name)
{
    if (const auto found = transports_.find(name); found != transports_.end())
        return *found->second;
    auto transport = std::make_unique<Transport>();
    transport->name = name;
    transport->options = options_.transport(name);
    Transport& made = *transport;
    transports_.emplace(std::string(name), std::move(transport));
    turns_.push_back(&made);
    return made;
}

Scheduler::Site& Scheduler::site_of(Transport& transport, std::string key)
{
    auto& slot = sites_[key];
    if (!slot) {
        slot = std::make_unique<Site>(std::move(key), transport);
        if (const auto at = shaped_.find(slot->key); at != shaped_.end()) {
            slot->held = at->second;
            slot->set = at->second->set;
        }
    }
    return *slot;
}

void Scheduler::reconfigure(SchedulerOptions options)
{
    options_ = std::move(options);
    for (auto& [name, transport] : transports_)
        transport->options = options_.transport(name);
}

/// The site's next request may be given out: there is room in its window, or at its sessions for one that waits.
bool Scheduler::may_start(const Site& site, SteadyTime now) const
{
    if (site.held)
        return site.window.open(now) && site.held->shape.open(now);
    if (site.window.open(now))
        return true;
    const TransportOptions& limits = site.transport.options;
    return ahead_now_ && limits.rate_delay.count() == 0 && site.jobs.front().manner.small && site.window.open_ahead(now, limits.ahead);
}

/// Puts a site where next() looks, if it may have work now; where a rate delay runs, next() looks when that ends.
void Scheduler::offer(Site& site)
{
    if (site.jobs.empty() || site.in_ready || site.in_delay || site.in_wait)
        return;
    const SteadyTime now = clock_.steady();
    if (site.held)
        site.held->shape.recover(now);
    if (may_start(site, now)) {
        site.transport.ready.push_back(&site);
        site.in_ready = true;
    } else if (const SteadyTime when = std::max(site.window.not_before(), site.held ? site.held->shape.not_before() : SteadyTime{});
               !site.window.dead() && when > now) {
        delayed_.emplace(when, &site);
        site.in_delay = true;
    } else if (site.held && site.held->shape.full() && site.window.open(now)) {
        site.held->waiting.push_back(&site);
        site.in_wait = true;
    }
}

void Scheduler::put_apart(Site& site, std::string_view name, SteadyTime now)
{
    site.apart = &apart_[std::string(name)];
    if (site.apart->busy++ == 0) {
        site.apart->name = name;
        site.apart->pace = Pace(now);
    }
}

void Scheduler::activate(MessageKey message, std::vector<RoutedRecipient> recipients, Manner manner)
{
    const SteadyTime now = clock_.steady();
    Message& active = messages_[message];
    active.manner = manner;
    active.open += recipients.size();
    recipients_ += recipients.size();

    // Recipients of one site are one job, in their order.
    std::unordered_map<Site*, std::list<Job>::iterator> jobs;
    Site* last = nullptr;
    std::list<Job>::iterator last_job;
    for (const RoutedRecipient& recipient : recipients) {
        Transport& transport = transport_of(recipient.transport);
        std::string key(recipient.site);
        if (transport.options.recipient_limit == 1)
            key.append(" ").append(recipient.address);
        Site& site = site_of(transport, std::move(key));
        site.retry = recipient.site_retry;
        if (&site != last) {
            const auto [found, fresh] = jobs.try_emplace(&site);
            if (fresh) {
                found->second = site.jobs.insert(site.jobs.end(), Job{.message = message, .recipients = {}, .manner = manner});
                active.sites.push_back(&site);
                if (site.messages++ == 0) {
                    site.pace = Pace(now);
                    if (transport.options.recipient_limit == 1)
                        put_apart(site, recipient.site, now);
                }
            }
            last = &site;
            last_job = found->second;
        }
        last_job->recipients.push_back(recipient.index);
    }
    for (const auto& [site, job] : jobs) {
        site->pace.came(now, job->recipients.size());
        if (site->apart)
            site->apart->pace.came(now, job->recipients.size());
        if (site->window.dead() && now >= site->dead_until)
            site->window.revive();
        if (site->window.dead() || now < site->transport.dead_until || (site->held && site->held->shape.suspended(now)))
            suspend_queue(*site);
        else
            offer(*site);
    }
}

void Scheduler::suspend_queue(Site& site)
{
    const SteadyTime now = clock_.steady();
    const bool silent = site.held && site.held->shape.suspended(now);
    const std::string& reason = silent ? site.held->said : site.window.dead() ? site.reason : site.transport.reason;
    for (Job& job : site.jobs) {
        job.recipients.erase(job.recipients.begin(), job.recipients.begin() + static_cast<std::ptrdiff_t>(job.taken));
        suspended_.push_back({job.message, std::move(job.recipients), reason, silent ? site.held->shape.suspended_until() : SteadyTime{}});
    }
    site.jobs.clear();
}

std::optional<Suspended> Scheduler::take_suspended()
{
    if (suspended_.empty())
        return std::nullopt;
    Suspended first = std::move(suspended_.front());
    suspended_.pop_front();
    return first;
}

void Scheduler::wake_sites(SteadyTime now)
{
    while (!delayed_.empty() && delayed_.begin()->first <= now) {
        Site& site = *delayed_.begin()->second;
        delayed_.erase(delayed_.begin());
        site.in_delay = false;
        offer(site);
    }
    while (!idle_.empty() && idle_.front().first + window_memory <= now) {
        Site& site = *idle_.front().second;
        idle_.pop_front();
        site.in_idle = false;
        if (site.messages > 0)
            continue;                                    // busy again; it comes back here when it falls idle
        if (site.idle_since + window_memory > now)
            rest(site);
        else if (!site.in_delay && !site.in_ready && !site.in_wait)
            sites_.erase(std::string(site.key));
        else {                                           // named elsewhere until a delay or a ceiling ends: looked at again then
            site.idle_since = now;
            rest(site);
        }
    }
}

/// Remembers when a site fell idle, so that its window is forgotten in time.
void Scheduler::rest(Site& site)
{
    if (std::exchange(site.in_idle, true))
        return;
    idle_.emplace_back(site.idle_since, &site);
}

std::optional<Request> Scheduler::next(bool ahead)
{
    ahead_now_ = ahead;
    const SteadyTime now = clock_.steady();
    wake_sites(now);
    forget_shapes(now);
    for (std::size_t turn = 0; turn < turns_.size(); ++turn) {
        Transport* transport = turns_.front();
        turns_.pop_front();
        turns_.push_back(transport);
        if (auto request = next_of(*transport))
            return request;
    }
    return std::nullopt;
}

std::optional<Request> Scheduler::next_of(Transport& transport)
{
    const TransportOptions& limits = transport.options;
    if (transport.ready.empty() || (limits.delivery_limit > 0 && transport.in_flight >= limits.delivery_limit) ||
        clock_.steady() < transport.not_before)
        return std::nullopt;
    while (!transport.ready.empty()) {
        const SteadyTime now = clock_.steady();          // anew: offer() looks later, and must not find open what is closed here for ever
        Site& site = *transport.ready.front();
        transport.ready.pop_front();
        site.in_ready = false;
        if (site.jobs.empty() || !may_start(site, now)) {
            offer(site);
            if (site.held && !site.in_ready)
                offer_waiting(*site.held);               // the place it had was another's to have
            continue;
        }
        Job& job = site.jobs.front();
        const std::size_t left = job.recipients.size() - job.taken;
        const std::size_t most = job.manner.apart ? 1 : limits.recipient_limit == 0 ? left : limits.recipient_limit;
        const std::size_t count = std::min(left, most);
        const auto first = job.recipients.begin() + static_cast<std::ptrdiff_t>(job.taken);
        Request request{.attempt = next_attempt_++,
                        .message = job.message,
                        .transport = transport.name,
                        .site = site.key,
                        .recipients = {first, first + static_cast<std::ptrdiff_t>(count)},
                        .window = site.window.size(),
                        .ceiling = site.held ? site.held->shape.room() : 0,
                        .ahead = !site.window.open(now)};
        if (request.ceiling != 0)
            request.window = std::min(request.window, request.ceiling);
        job.taken += count;
        if (job.taken == job.recipients.size())
            site.jobs.pop_front();
        else
            site.jobs.splice(site.jobs.end(), site.jobs, site.jobs.begin());     // the next message's turn
        site.window.started();
        if (site.held) {
            site.held->shape.started(now);
            site.held->used = now;
        }
        ++(request.ahead ? site.ahead : transport.in_flight);
        if (limits.rate_delay.count() > 0)
            transport.not_before = now + limits.rate_delay;
        flights_.emplace(request.attempt, Flight{request.message, &site, request.recipients, site.held, now});
        offer(site);
        return request;
    }
    return std::nullopt;
}

std::optional<SteadyTime> Scheduler::wake_at() const
{
    std::optional<SteadyTime> wake;
    const auto consider = [&](SteadyTime when) { wake = wake ? std::min(*wake, when) : when; };
    if (!delayed_.empty())
        consider(delayed_.begin()->first);
    for (const auto& [name, transport] : transports_)
        if (!transport->ready.empty() && transport->not_before > clock_.steady())
            consider(transport->not_before);
    return wake;
}

/// A delivery has ended: one that waited has its session now.
void Scheduler::leave_slot(Site& site) { --(site.ahead > 0 ? site.ahead : site.transport.in_flight); }

bool Scheduler::finished(std::uint64_t attempt, SiteNews news, std::string_view reason)
{
    const auto found = flights_.find(attempt);
    if (found == flights_.end())
        return false;                                    // reported twice, or of a qmgr before this one
    const Flight flight = std::move(found->second);
    flights_.erase(found);
    Site& site = *flight.site;
    leave_slot(site);
    if (flight.held)
        flight.held->shape.ended();
    const SteadyTime now = clock_.steady();
    site.pace.left(now, flight.recipients.size());
    if (site.apart)
        site.apart->pace.left(now, flight.recipients.size());
    switch (news) {
    case SiteNews::answered: site.window.succeeded(now); break;
    case SiteNews::none: site.window.ended(now); break;
    case SiteNews::unreachable:
        site.window.failed(now);
        if (site.window.dead()) {
            site.dead_until = now + (site.retry.count() != 0 ? site.retry : options_.site_retry);
            site.reason = reason;
            suspend_queue(site);
        }
        break;
    }
    offer(site);
    if (flight.held)
        offer_waiting(*flight.held);
    return settle(flight.message, flight.recipients.size());
}

bool Scheduler::returned(std::uint64_t attempt)
{
    const auto found = flights_.find(attempt);
    if (found == flights_.end())
        return false;
    Flight flight = std::move(found->second);
    flights_.erase(found);
    Site& site = *flight.site;
    const SteadyTime now = clock_.steady();
    leave_slot(site);
    if (flight.held)
        flight.held->shape.ended();
    site.window.ended(now);
    const auto message = messages_.find(flight.message);
    if (message == messages_.end() || message->second.withdrawn) {
        offer(site);
        return settle(flight.message, flight.recipients.size());
    }
    site.jobs.push_front(Job{.message = flight.message, .recipients = std::move(flight.recipients), .manner = message->second.manner});
    if (site.window.dead() || now < site.transport.dead_until || (site.held && site.held->shape.suspended(now)))
        suspend_queue(site);
    else
        offer(site);
    if (flight.held)
        offer_waiting(*flight.held);
    return false;
}

bool Scheduler::moved(std::uint64_t attempt, std::vector<RoutedRecipient> recipients)
{
    const auto flight = flights_.find(attempt);
    if (flight == flights_.end())
        return false;
    const MessageKey key = flight->second.message;
    if (const auto message = messages_.find(key); message != messages_.end() && !message->second.withdrawn)
        activate(key, std::move(recipients), message->second.manner);
    return finished(attempt, SiteNews::none);
}

bool Scheduler::suspended_done(const Suspended& suspended) { return settle(suspended.message, suspended.recipients.size()); }

bool Scheduler::settle(MessageKey message, std::size_t recipients)
{
    const auto found = messages_.find(message);
    if (found == messages_.end())
        return false;
    recipients_ -= recipients;
    found->second.open -= recipients;
    return forget_if_done(found->first);
}

bool Scheduler::forget_if_done(MessageKey message)
{
    const auto found = messages_.find(message);
    if (found->second.open > 0)
        return false;
    for (Site* site : found->second.sites)
        if (--site->messages == 0) {
            if (Apart* const apart = std::exchange(site->apart, nullptr); apart && --apart->busy == 0)
                apart_.erase(std::string(apart->name));
            site->idle_since = clock_.steady();
            rest(*site);
        }
    messages_.erase(found);
    return true;
}

bool Scheduler::withdraw(MessageKey message)
{
    const auto found = messages_.find(message);
    if (found == messages_.end())
        return true;
    std::size_t dropped = 0;
    found->second.withdrawn = true;
    for (Site* site : found->second.sites)
        std::erase_if(site->jobs, [&](const Job& job) {
            if (job.message != message)
                return false;
            dropped += job.recipients.size() - job.taken;
            return true;
        });
    std::erase_if(suspended_, [&](const Suspended& entry) {
        if (entry.message != message)
            return false;
        dropped += entry.recipients.size();
        return true;
    });
    recipients_ -= dropped;
    found->second.open -= dropped;
    return forget_if_done(message);
}

std::vector<std::uint32_t> Scheduler::withhold(MessageKey message, const std::vector<std::uint32_t>& recipients)
{
    std::vector<std::uint32_t> taken;
    const auto found = messages_.find(message);
    if (found == messages_.end())
        return taken;
    const std::unordered_set<std::uint32_t> wanted(recipients.begin(), recipients.end());
    for (Site* site : found->second.sites)
        for (auto job = site->jobs.begin(); job != site->jobs.end();) {
            if (job->message == message) {
                std::size_t kept = job->taken;
                for (std::size_t at = job->taken; at < job->recipients.size(); ++at)
                    if (const std::uint32_t index = job->recipients[at]; wanted.contains(index))
                        taken.push_back(index);
                    else
                        job->recipients[kept++] = index;
                job->recipients.resize(kept);
            }
            job = job->recipients.size() == job->taken ? site->jobs.erase(job) : std::next(job);
        }
    return taken;
}

void Scheduler::transport_failed(std::string_view name, std::string_view reason)
{
    Transport& transport = transport_of(name);
    transport.dead_until = clock_.steady() + options_.transport_retry;
    transport.reason = reason;
    for (auto& [key, site] : sites_)
        if (&site->transport == &transport)
            suspend_queue(*site);
}

void Scheduler::revive_all()
{
    for (auto& [name, transport] : transports_)
        transport->dead_until = {};
    for (auto& [key, site] : sites_)
        if (site->window.dead())
            site->window.revive();
    for (auto& [set, held] : shapes_) {
        if (held->shape.suspended(clock_.steady()))
            note_change(*held, true);
        held->shape.revive();
    }
}

Scheduler::Way Scheduler::way(std::string_view transport_name, std::string_view site_key) const
{
    const SteadyTime now = clock_.steady();
    if (const auto transport = transports_.find(transport_name); transport != transports_.end() && now < transport->second->dead_until)
        return Way::closed;
    const auto site = sites_.find(std::string(site_key));
    if ((site != sites_.end() && site->second->window.dead() && now < site->second->dead_until) || silent(site_key))
        return Way::closed;
    const auto shaped = shaped_.empty() ? shaped_.end() : shaped_.find(std::string(site_key));
    if (shaped == shaped_.end())
        return Way::open;
    const bool waits = site != sites_.end() && !site->second->jobs.empty();
    return waits || !shaped->second->shape.open(now) ? Way::held_up : Way::open;
}

}  // namespace posthorn::schedule
