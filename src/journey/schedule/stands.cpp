// What the scheduler says when it is asked why something waits. It only looks.
#include "schedule/scheduler.hpp"

#include "schedule/scheduler_parts.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <span>

namespace posthorn::schedule {

using handoff::Wait;

std::optional<Scheduler::SiteState> Scheduler::site(std::string_view name) const
{
    const auto found = sites_.find(std::string(name));
    if (found == sites_.end())
        return site_apart(name);
    const Site& site = *found->second;
    SiteState state{.window = site.window.size(),
                    .in_flight = site.window.in_flight() - site.ahead,
                    .waiting_messages = site.jobs.size() + site.ahead,
                    .dead = site.window.dead(),
                    .reason = site.reason,
                    .transport = site.transport.name,
                    .waiting_recipients = 0,
                    .dead_until = site.window.dead() ? site.dead_until : SteadyTime{},
                    .not_before = site.window.not_before(),
                    .transport_dead_until = site.transport.dead_until,
                    .transport_reason = site.transport.reason};
    if (site.held) {
        state.set = site.held->set;
        state.ceiling = site.held->shape.room();
        state.per_minute = site.held->shape.per_minute();
        state.suspended_until = site.held->shape.suspended_until();
        state.recovered_at = site.held->shape.recovered_at(clock_.steady());
        state.said = site.held->said;
    }
    const Pace::Rates rates = site.pace.rates(clock_.steady());
    state.came_per_minute = rates.came;
    state.left_per_minute = rates.left;
    for (const Job& job : site.jobs)
        state.waiting_recipients += job.recipients.size() - job.taken;
    // The last of what is in flight were given ahead and wait, too.
    std::vector<std::pair<std::uint64_t, std::size_t>> given;
    for (const auto& [attempt, flight] : flights_)
        if (flight.site == &site)
            given.emplace_back(attempt, flight.recipients.size());
    std::ranges::sort(given, std::greater{});
    for (const auto& [attempt, recipients] : std::span(given).first(std::min<std::size_t>(given.size(), site.ahead)))
        state.waiting_recipients += recipients;
    return state;
}

/// Of a transport with a recipient limit of 1. Dead together are sites of which none is alive.
std::optional<Scheduler::SiteState> Scheduler::site_apart(std::string_view name) const
{
    const auto apart = apart_.find(std::string(name));
    if (apart == apart_.end())
        return std::nullopt;
    std::optional<SiteState> all;
    for (const auto& [key, one] : sites_) {
        if (one->apart != &apart->second)
            continue;
        auto state = site(key);
        if (!all || !state) {
            all = state ? std::move(state) : std::move(all);
            continue;
        }
        all->window += state->window;
        all->in_flight += state->in_flight;
        all->waiting_messages += state->waiting_messages;
        all->waiting_recipients += state->waiting_recipients;
        all->not_before = std::min(all->not_before, state->not_before);
        all->dead = all->dead && state->dead;
        all->dead_until = std::min(all->dead_until, state->dead_until);         // zero: that one is alive
    }
    if (!all)
        return all;
    if (!all->dead)
        all->reason.clear();
    const Pace::Rates rates = apart->second.pace.rates(clock_.steady());
    all->came_per_minute = rates.came;
    all->left_per_minute = rates.left;
    return all;
}

std::vector<std::string> Scheduler::busiest(std::size_t most) const
{
    std::vector<std::pair<std::size_t, const std::string*>> found;
    for (const auto& [key, site] : sites_) {
        const std::size_t mail = site->jobs.size() + site->window.in_flight();
        if (mail != 0 || site->window.dead() || site->held != nullptr)
            found.emplace_back(mail, &site->key);
    }
    const auto end = found.begin() + static_cast<std::ptrdiff_t>(std::min(most, found.size()));
    std::ranges::partial_sort(found, end,
                              [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : *a.second < *b.second; });
    std::vector<std::string> names;
    std::transform(found.begin(), end, std::back_inserter(names), [](const auto& site) { return *site.second; });
    return names;
}

std::vector<Scheduler::Stand> Scheduler::stands(MessageKey message) const
{
    std::vector<Stand> found;
    const auto active = messages_.find(message);
    if (active == messages_.end())
        return found;
    const SteadyTime now = clock_.steady();
    for (const auto& [attempt, flight] : flights_) {
        if (flight.message != message)
            continue;
        // Of what is in flight the last ones wait for a session.
        std::size_t before = 0, behind = 0;
        for (const auto& [other, theirs] : flights_)
            if (theirs.site == flight.site)
                ++(other < attempt ? before : behind);
        const bool waits = behind <= flight.site->ahead;
        found.push_back({.site = flight.site->key,
                         .transport = flight.site->transport.name,
                         .recipients = flight.recipients,
                         .wait = waits ? Wait::window : Wait::delivery,
                         .since = flight.begun,
                         .ahead = waits ? before - std::min<std::size_t>(before, flight.site->window.in_flight() - flight.site->ahead) : 0});
    }
    for (const Suspended& suspended : suspended_)
        if (suspended.message == message)
            found.push_back({.recipients = suspended.recipients, .wait = Wait::dead_site, .reason = suspended.reason});
    for (const Site* const site : active->second.sites) {
        std::size_t ahead = site->ahead;
        for (const Job& job : site->jobs) {
            if (job.message != message) {
                ++ahead;
                continue;
            }
            const Transport& transport = site->transport;
            Stand stand{.site = site->key,
                        .transport = transport.name,
                        .recipients = {job.recipients.begin() + static_cast<std::ptrdiff_t>(job.taken), job.recipients.end()},
                        .ahead = ahead};
            if (site->window.dead())
                stand.wait = Wait::dead_site, stand.until = site->dead_until, stand.reason = site->reason;
            else if (now < transport.dead_until)
                stand.wait = Wait::dead_transport, stand.until = transport.dead_until, stand.reason = transport.reason;
            else if (site->held && site->held->shape.suspended(now))
                stand.wait = Wait::silence, stand.until = site->held->shape.suspended_until(), stand.reason = site->held->said;
            else if (site->held && site->held->shape.full())
                stand.wait = Wait::ceiling, stand.until = site->held->shape.recovered_at(now), stand.reason = site->held->said;
            else if (site->held && site->held->shape.not_before() > now)
                stand.wait = Wait::pace, stand.until = site->held->shape.not_before(), stand.reason = site->held->said;
            else if (site->window.not_before() > now)
                stand.wait = Wait::site_rate, stand.until = site->window.not_before();
            else if (site->window.in_flight() >= site->window.size())
                stand.wait = Wait::window;
            else if (transport.not_before > now)
                stand.wait = Wait::transport_rate, stand.until = transport.not_before;
            else if (transport.options.delivery_limit > 0 && transport.in_flight >= transport.options.delivery_limit)
                stand.wait = Wait::process_limit;
            else
                stand.wait = ahead > 0 ? Wait::turn : Wait::room;
            found.push_back(std::move(stand));
        }
    }
    return found;
}

}  // namespace posthorn::schedule
