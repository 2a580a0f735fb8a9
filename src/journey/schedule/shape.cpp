#include "schedule/shape.hpp"

#include <algorithm>
#include <cmath>

namespace posthorn::schedule {

using std::chrono::microseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

constexpr seconds raise_every{60}, probe_every{300}, probe_at_most{3600};
constexpr double share_of_rate = 20;            // a minute gives back a twentieth of what it was
constexpr std::size_t starts_kept = 10'000;

}  // namespace

void Shape::rule(std::uint32_t sessions, microseconds interval)
{
    rule_sessions_ = sessions;
    rule_interval_ = interval;
}

std::uint32_t Shape::room() const
{
    if (ceiling_ == 0 || rule_sessions_ == 0)
        return std::max(ceiling_, rule_sessions_);
    return std::min(ceiling_, rule_sessions_);
}

microseconds Shape::interval() const
{
    const microseconds asked{per_minute_ == 0 ? 0 : static_cast<std::int64_t>(60e6 / per_minute_)};
    return std::max(asked, rule_interval_);
}

void Shape::forget_starts(SteadyTime now)
{
    while (!starts_.empty() && (now - starts_.front() >= minutes{1} || starts_.size() > starts_kept))
        starts_.pop_front();
}

void Shape::started(SteadyTime now)
{
    ++in_flight_;
    starts_.push_back(now);
    forget_starts(now);
    if (const microseconds pause = interval(); pause.count() != 0)
        next_ = now + pause;
}

void Shape::ended()
{
    if (in_flight_ > 0)
        --in_flight_;
}

std::optional<Shape::Change> Shape::heard(const SiteNotice& notice, SteadyTime begun, SteadyTime now)
{
    recover(now);
    if (!notice.asks())
        return std::nullopt;
    // An answer to what was sent before the last decrease says nothing about the time since; silence is more than a decrease.
    const bool silence = notice.suspend.count() != 0 && !suspended(now);
    if (!silence && decreased_ != SteadyTime{} && begun <= decreased_ && (ceiling_ != 0 || per_minute_ != 0))
        return std::nullopt;
    std::optional<Change> change;
    decreased_ = now;
    if (notice.suspend.count() != 0) {
        suspended_until_ = std::max(suspended_until_, now + notice.suspend);
        change = Change::suspended;
    }
    const auto lower = [&](std::uint32_t to, seconds step) {
        peak_ = std::max({peak_, in_flight_, to + 1});
        ceiling_ = std::max<std::uint32_t>(1, ceiling_ == 0 ? to : std::min(to, ceiling_));
        step_ = step;
        raised_ = now;
    };
    if (notice.refused_at != 0) {
        const bool again = notice.refused_at == refused_at_;
        refused_at_ = notice.refused_at;
        lower(notice.refused_at, again ? std::min(2 * std::max(step_, probe_every), probe_at_most) : probe_every);
        change = change.value_or(Change::refused);
    }
    if (notice.suspend.count() != 0)
        lower(1, raise_every);
    else if (notice.slower || notice.fewer)
        lower(std::max<std::uint32_t>(1, std::max(in_flight_, 1U) / 2), refused_at_ != 0 ? std::max(step_, raise_every) : raise_every);
    if (notice.slower || notice.suspend.count() != 0) {
        forget_starts(now);
        const double measured = std::max<double>(1, static_cast<double>(starts_.size()));
        before_ = std::max(before_, measured);
        per_minute_ = std::max<double>(1, (per_minute_ == 0 ? measured : std::min(per_minute_, measured)) / 2);
        quickened_ = now;
        next_ = std::max(next_, now + interval());
        if (!change)
            change = Change::slower;
    } else if (notice.fewer && !change)
        change = Change::fewer;
    return change;
}

bool Shape::recover(SteadyTime now)
{
    bool changed = false;
    // While it is suspended nothing is tried, so nothing is known to have become better: time begins to count at its end.
    while (ceiling_ != 0 && now - std::max(raised_, suspended_until_) >= step_) {
        raised_ = std::max(raised_, suspended_until_) + step_;
        changed = true;
        if (++ceiling_ > peak_) {
            ceiling_ = peak_ = refused_at_ = 0;
            step_ = raise_every;
        }
    }
    while (per_minute_ != 0 && now - std::max(quickened_, suspended_until_) >= minutes{1}) {
        quickened_ = std::max(quickened_, suspended_until_) + minutes{1};
        changed = true;
        per_minute_ += std::max(1.0, before_ / share_of_rate);
        if (per_minute_ > before_)
            per_minute_ = before_ = 0;
    }
    if (changed && per_minute_ == 0 && rule_interval_.count() == 0)
        next_ = {};
    return changed;
}

SteadyTime Shape::recovered_at(SteadyTime now) const
{
    SteadyTime end = std::max(now, suspended_until_);
    if (ceiling_ != 0)
        end = std::max(end, std::max(raised_, suspended_until_) + step_ * static_cast<std::int64_t>(peak_ + 1 - ceiling_));
    if (per_minute_ != 0) {
        const double steps = std::floor((before_ - per_minute_) / std::max(1.0, before_ / share_of_rate)) + 1;
        end = std::max(end, std::max(quickened_, suspended_until_) + minutes{static_cast<std::int64_t>(steps)});
    }
    return end;
}

peers::Restraint Shape::kept(SteadyTime now, WallTime wall) const
{
    const auto by_wall = [&](SteadyTime time) { return wall + std::chrono::floor<microseconds>(time - now); };
    peers::Restraint made;
    made.ceiling = ceiling_;
    made.peak = peak_;
    made.refused_at = refused_at_;
    made.step = step_;
    made.raised = by_wall(raised_);
    made.per_minute = per_minute_;
    made.before = before_;
    made.quickened = by_wall(quickened_);
    made.silent_until = suspended(now) ? by_wall(suspended_until_) : WallTime{};
    made.until = by_wall(recovered_at(now));
    made.last = wall;
    return made;
}

/// A clock that was set back, or a record that was not ours, must not stop a site for longer than it could have asked for.
void Shape::restore(const peers::Restraint& kept, SteadyTime now, WallTime wall)
{
    const auto past = [&](WallTime time) { return now - std::max(microseconds{0}, std::min<microseconds>(wall - time, std::chrono::days{30})); };
    ceiling_ = kept.ceiling;
    peak_ = std::max(kept.peak, kept.ceiling);
    refused_at_ = kept.refused_at;
    step_ = std::clamp(kept.step, seconds{1}, probe_at_most);
    raised_ = past(kept.raised);
    per_minute_ = kept.per_minute;
    before_ = std::max(kept.before, kept.per_minute);
    quickened_ = past(kept.quickened);
    decreased_ = now;                                   // whatever was begun by the process before
    if (kept.silent_until > wall)
        suspended_until_ = now + std::min<microseconds>(kept.silent_until - wall, std::chrono::days{7});
    else if (kept.silent_until != WallTime{})
        suspended_until_ = past(kept.silent_until);
    else
        suspended_until_ = std::min(raised_, quickened_);
    recover(now);
    if (per_minute_ != 0)
        next_ = now + interval();
}

void Shape::lift()
{
    ceiling_ = peak_ = refused_at_ = 0;
    step_ = raise_every;
    per_minute_ = before_ = 0;
    suspended_until_ = next_ = {};
}

}  // namespace posthorn::schedule
