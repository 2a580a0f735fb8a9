#include "schedule/release.hpp"

#include "base/timestamp.hpp"
#include "calendar/plan.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::schedule {

namespace {

WallTime at(std::int64_t micros) { return WallTime{std::chrono::microseconds{micros}}; }

}  // namespace

WallTime may_go(const handoff::Release& release, WallTime when)
{
    calendar::Plan plan{.not_before = at(release.not_before()), .window = {}, .expires = {}};
    if (release.days() != 0)
        plan.window = calendar::Window{.days = release.days(),
                                       .zone = release.zone(),
                                       .start = std::chrono::seconds{release.start()},
                                       .end = std::chrono::seconds{release.end()}};
    return plan.first(when);
}

WallTime may_go(const handoff::Envelope& envelope, WallTime when) { return envelope.has_release() ? may_go(envelope.release(), when) : when; }

WallTime counted_from(const handoff::Envelope& envelope) { return may_go(envelope, at(envelope.arrival())); }

std::optional<WallTime> expires(const handoff::Release& release)
{
    return release.expires() == 0 ? std::nullopt : std::optional(at(release.expires()));
}

std::optional<WallTime> expires(const handoff::Envelope& envelope) { return envelope.has_release() ? expires(envelope.release()) : std::nullopt; }

WallTime next_look(const handoff::Release& release, WallTime when)
{
    const WallTime next = may_go(release, when);
    const auto end = expires(release);
    return end ? std::min(next, *end) : next;
}

WallTime next_look(const handoff::Envelope& envelope, WallTime when) { return envelope.has_release() ? next_look(envelope.release(), when) : when; }

std::string held_text(WallTime until)
{
    return fmt::format("held until {}, as its sender asked", minute_text(std::chrono::ceil<std::chrono::minutes>(until)));
}

}  // namespace posthorn::schedule
