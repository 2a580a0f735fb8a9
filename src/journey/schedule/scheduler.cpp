#include "schedule/scheduler.hpp"

#include "schedule/scheduler_parts.hpp"

#include <algorithm>
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
    if (!slot)
        slot = std::make_unique<Site>(std::move(key), transport);
    return *slot;
}

void Scheduler::reconfigure(SchedulerOptions options)
{
    options_ = std::move(options);
    for (auto& [name, transport] : transports_)
        transport->options = options_.transport(name);
}

/// Puts a site where next() looks, if it may have work now; where a rate delay runs, next() looks when that ends.
void Scheduler::offer(Site& site)
{
    if (site.jobs.empty() || site.in_ready || site.in_delay)
        return;
    const SteadyTime now = clock_.steady();
    if (site.window.open(now)) {
        site.transport.ready.push_back(&site);
        site.in_ready = true;
    } else if (!site.window.dead() && site.window.not_before() > now) {
        delayed_.emplace(site.window.not_before(), &site);
        site.in_delay = true;
    }
}

void Scheduler::activate(MessageKey message, std::vector<RoutedRecipient> recipients)
{
    const SteadyTime now = clock_.steady();
    Message& active = messages_[message];
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
        if (&site != last) {
            const auto [found, fresh] = jobs.try_emplace(&site);
            if (fresh) {
                found->second = site.jobs.insert(site.jobs.end(), Job{.message = message, .recipients = {}});
                active.sites.push_back(&site);
                ++site.messages;
            }
            last = &site;
            last_job = found->second;
        }
        last_job->recipients.push_back(recipient.index);
    }
    for (const auto& [site, job] : jobs) {
        if (site->window.dead() && now >= site->dead_until)
            site->window.revive();
        if (site->window.dead() || now < site->transport.dead_until)
            suspend_queue(*site);
        else
            offer(*site);
    }
}

void Scheduler::suspend_queue(Site& site)
{
    const std::string& reason = site.window.dead() ? site.reason : site.transport.reason;
    for (Job& job : site.jobs) {
        job.recipients.erase(job.recipients.begin(), job.recipients.begin() + static_cast<std::ptrdiff_t>(job.taken));
        suspended_.push_back({job.message, std::move(job.recipients), reason});
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

void Scheduler::wake_sites()
{
    const SteadyTime now = clock_.steady();
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
        else if (!site.in_delay && !site.in_ready)
            sites_.erase(site.key);
        else
            rest(site);
    }
}

/// Remembers when a site fell idle, so that its window is forgotten in time.
void Scheduler::rest(Site& site)
{
    if (std::exchange(site.in_idle, true))
        return;
    idle_.emplace_back(site.idle_since, &site);
}

std::optional<Request> Scheduler::next()
{
    wake_sites();
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
    const SteadyTime now = clock_.steady();
    const TransportOptions& limits = transport.options;
    if ((limits.delivery_limit > 0 && transport.in_flight >= limits.delivery_limit) || now < transport.not_before)
        return std::nullopt;
    while (!transport.ready.empty()) {
        Site& site = *transport.ready.front();
        transport.ready.pop_front();
        site.in_ready = false;
        if (site.jobs.empty() || !site.window.open(now)) {
            offer(site);
            continue;
        }
        Job& job = site.jobs.front();
        const std::size_t left = job.recipients.size() - job.taken;
        const std::size_t count = limits.recipient_limit == 0 ? left : std::min<std::size_t>(left, limits.recipient_limit);
        const auto first = job.recipients.begin() + static_cast<std::ptrdiff_t>(job.taken);
        Request request{.attempt = next_attempt_++,
                        .message = job.message,
                        .transport = transport.name,
                        .site = site.key,
                        .recipients = {first, first + static_cast<std::ptrdiff_t>(count)},
                        .window = site.window.size()};
        job.taken += count;
        if (job.taken == job.recipients.size())
            site.jobs.pop_front();
        else
            site.jobs.splice(site.jobs.end(), site.jobs, site.jobs.begin());     // the next message's turn
        site.window.started();
        ++transport.in_flight;
        if (limits.rate_delay.count() > 0)
            transport.not_before = now + limits.rate_delay;
        flights_.emplace(request.attempt, Flight{request.message, &site, request.recipients, now});
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
    const SteadyTime now = clock_.steady();
    for (const auto& [name, transport] : transports_)
        if (!transport->ready.empty() && transport->not_before > now)
            consider(transport->not_before);
    return wake;
}

bool Scheduler::finished(std::uint64_t attempt, SiteNews news, std::string_view reason)
{
    const auto found = flights_.find(attempt);
    if (found == flights_.end())
        return false;                                    // reported twice, or of a qmgr before this one
    const Flight flight = std::move(found->second);
    flights_.erase(found);
    Site& site = *flight.site;
    --site.transport.in_flight;
    const SteadyTime now = clock_.steady();
    switch (news) {
    case SiteNews::answered: site.window.succeeded(now); break;
    case SiteNews::none: site.window.ended(now); break;
    case SiteNews::unreachable:
        site.window.failed(now);
        if (site.window.dead()) {
            site.dead_until = now + options_.site_retry;
            site.reason = reason;
            suspend_queue(site);
        }
        break;
    }
    offer(site);
    return settle(flight.message, flight.recipients.size());
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
}

}  // namespace posthorn::schedule
