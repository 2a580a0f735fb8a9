// What MX sets ask for, and what rules say of them: which sites that holds back, and when it ends.
#include "schedule/scheduler_parts.hpp"

#include <algorithm>
#include <utility>

namespace posthorn::schedule {

using std::chrono::seconds;

namespace {
/// A shape that only a rule gives is forgotten when nothing was sent there for so long: the next delivery brings it again.
constexpr seconds shape_memory{3600}, shapes_looked_at{10};
/// MX sets, and sites of one, that are kept apart; what is beyond has no shape.
constexpr std::size_t shapes_kept = 20'000, sites_of_a_shape = 20'000;
}  // namespace

void Scheduler::Ruled::tighten(const Ruled& other)
{
    if (other.sessions != 0 && (sessions == 0 || other.sessions < sessions))
        sessions = other.sessions;
    interval = std::max(interval, other.interval);
}

void Scheduler::join(Site& site, Held& held)
{
    if (site.held == &held || held.sites.size() >= sites_of_a_shape)
        return;
    if (site.held) {
        std::erase(site.held->sites, site.key);           // the domain has moved to other hosts
        rule(*site.held, site.key, {});
    }
    site.held = &held;
    if (const auto known = shaped_.find(site.key); known == shaped_.end() || known->second != &held) {
        held.sites.push_back(site.key);
        shaped_[site.key] = &held;
        note_change(held, false);
    }
}

/// A rule for one domain holds for all that the same hosts serve: they count what they are sent, whoever it is for.
void Scheduler::rule(Held& held, const std::string& site, Ruled said)
{
    const auto at = held.ruled.find(site);
    const bool fresh = at == held.ruled.end();
    if (said == (fresh ? Ruled{} : at->second))
        return;
    if (said == Ruled{})
        held.ruled.erase(at);
    else
        held.ruled[site] = said;
    if (fresh)
        held.strictest.tighten(said);
    else {
        held.strictest = {};
        for (const auto& [key, one] : held.ruled)
            held.strictest.tighten(one);
    }
    held.shape.rule(held.strictest.sessions, held.strictest.interval);
}

void Scheduler::note_change(const Held& held, bool pressing)
{
    changed_.insert(held.set);
    pressing_ = pressing_ || pressing;
}

std::optional<ShapeChange> Scheduler::heard(std::uint64_t attempt, std::string_view site_key, const SiteNotice& notice)
{
    if (notice.set.empty())
        return std::nullopt;
    const SteadyTime now = clock_.steady();
    const auto flight = flights_.find(attempt);
    Site* site = flight != flights_.end() ? flight->second.site : nullptr;
    if (!site)
        if (const auto at = sites_.find(std::string(site_key)); at != sites_.end())
            site = at->second.get();
    const bool ruled = notice.sessions != 0 || notice.interval.count() != 0;
    auto at = shapes_.find(notice.set);
    if (at == shapes_.end()) {
        if (site && site->set != notice.set)
            site->set = notice.set;
        if ((!ruled && !notice.asks()) || shapes_.size() >= shapes_kept)
            return std::nullopt;
        at = shapes_.emplace(notice.set, std::make_unique<Held>()).first;
        at->second->set = notice.set;
        for (const auto& [key, other] : sites_)           // those that the same hosts serve
            if (other->set == notice.set)
                join(*other, *at->second);
    }
    Held& held = *at->second;
    held.used = now;
    if (site) {
        site->set = notice.set;
        join(*site, held);
        if (flight != flights_.end() && !flight->second.held) {
            flight->second.held = &held;                  // it was under way when the shape came
            held.shape.started(now);
        }
    } else if (!site_key.empty() && held.sites.size() < sites_of_a_shape && shaped_.try_emplace(std::string(site_key), &held).second) {
        held.sites.emplace_back(site_key);
        note_change(held, false);
    }
    if (site || held.ruled.size() < sites_of_a_shape)
        rule(held, site ? site->key : std::string(site_key), {notice.sessions, notice.interval});
    const auto change = held.shape.heard(notice, flight != flights_.end() ? flight->second.begun : SteadyTime{}, now);
    if (!change)
        return std::nullopt;
    held.said = notice.said;
    note_change(held, true);
    if (held.shape.suspended(now))
        for (const std::string& key : held.sites)
            if (const auto one = sites_.find(key); one != sites_.end())
                suspend_queue(*one->second);
    return ShapeChange{.set = held.set,
                       .change = *change,
                       .ceiling = held.shape.ceiling(),
                       .per_minute = held.shape.per_minute(),
                       .said = held.said,
                       .until = *change == Shape::Change::suspended ? held.shape.suspended_until() : held.shape.recovered_at(now)};
}

/// As many of the sites that wait for room as there is now.
void Scheduler::offer_waiting(Held& held)
{
    for (std::size_t left = held.waiting.size(); left != 0 && !held.shape.full(); --left) {
        Site& site = *held.waiting.front();
        held.waiting.pop_front();
        site.in_wait = false;
        offer(site);
        if (site.in_ready && held.shape.room() != 0 && held.shape.in_flight() + 1 >= held.shape.room())
            break;
    }
}

/// Shapes that hold nothing back any more.
void Scheduler::forget_shapes(SteadyTime now)
{
    if (shapes_.empty() || now - shapes_seen_ < shapes_looked_at)
        return;
    shapes_seen_ = now;
    for (auto at = shapes_.begin(); at != shapes_.end();) {
        Held& held = *at->second;
        if (held.shape.recover(now))
            offer_waiting(held);
        if (held.shape.in_flight() != 0 || !held.waiting.empty() || !held.shape.eased(now) ||
            !(held.shape.empty(now) || now - held.used >= shape_memory)) {
            ++at;
            continue;
        }
        for (const std::string& key : held.sites) {
            if (const auto site = sites_.find(key); site != sites_.end() && site->second->held == &held)
                site->second->held = nullptr;
            if (const auto known = shaped_.find(key); known != shaped_.end() && known->second == &held)
                shaped_.erase(known);
        }
        at = shapes_.erase(at);
    }
}

std::vector<std::pair<std::string, std::optional<peers::Restraint>>> Scheduler::take_changed()
{
    const SteadyTime now = clock_.steady();
    std::vector<std::pair<std::string, std::optional<peers::Restraint>>> taken;
    for (const std::string& set : std::exchange(changed_, {})) {
        const auto at = shapes_.find(set);
        std::optional<peers::Restraint> kept;
        if (at != shapes_.end() && !at->second->shape.eased(now)) {
            const Held& held = *at->second;
            kept = held.shape.kept(now, clock_.wall());
            kept->said = held.said;
            kept->sites.assign(held.sites.begin(),
                               held.sites.begin() + static_cast<std::ptrdiff_t>(std::min(held.sites.size(), peers::restrained_sites)));
        }
        taken.emplace_back(set, std::move(kept));
    }
    pressing_ = false;
    return taken;
}

void Scheduler::restore(const std::string& set, const peers::Restraint& kept)
{
    if (set.empty() || shapes_.size() >= shapes_kept || shapes_.contains(set))
        return;
    auto made = std::make_unique<Held>();
    made->set = set;
    made->said = kept.said;
    made->used = clock_.steady();
    made->shape.restore(kept, clock_.steady(), clock_.wall());
    if (made->shape.eased(clock_.steady()))
        return;
    for (const std::string& site : kept.sites)
        if (shaped_.try_emplace(site, made.get()).second)
            made->sites.push_back(site);
    shapes_.emplace(set, std::move(made));
}

std::vector<std::string> Scheduler::restrained() const
{
    std::vector<std::string> sets;
    for (const auto& [set, held] : shapes_)
        sets.push_back(set);
    return sets;
}

bool Scheduler::lift(const std::string& set)
{
    const auto at = shapes_.find(set);
    if (at == shapes_.end())
        return false;
    Held& held = *at->second;
    const bool restrained = !held.shape.eased(clock_.steady());
    held.shape.lift();
    note_change(held, true);
    std::vector<Site*> held_up;
    for (auto late = delayed_.begin(); late != delayed_.end();) {
        if (late->second->held == &held) {
            late->second->in_delay = false;
            held_up.push_back(late->second);
            late = delayed_.erase(late);
        } else
            ++late;
    }
    for (Site* const site : held_up)
        offer(*site);
    offer_waiting(held);
    return restrained;
}

std::optional<std::string> Scheduler::silent(std::string_view site) const
{
    const auto at = shaped_.empty() ? shaped_.end() : shaped_.find(std::string(site));
    if (at == shaped_.end() || !at->second->shape.suspended(clock_.steady()))
        return std::nullopt;
    return at->second->said;
}

}  // namespace posthorn::schedule
