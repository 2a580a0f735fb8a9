// What scheduling_header names is for us alone: it is taken out, and what it says is said in the envelope. Of several fields the first
// counts, as with KumoMTA.
#include "cleanup/chain.hpp"
#include "cleanup/scheduling_field.hpp"

#include "base/timestamp.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::cleanup {

namespace {

std::int64_t micros_of(WallTime when) { return when.time_since_epoch().count(); }

/// With what the envelope said (RFC 4865): the later time counts.
void note_plan(handoff::Release& release, const calendar::Plan& plan)
{
    release.set_not_before(std::max(release.not_before(), micros_of(plan.not_before)));
    if (plan.expires)
        release.set_expires(micros_of(*plan.expires));
    if (plan.window) {
        release.set_days(plan.window->days);
        release.set_zone(plan.window->zone);
        release.set_start(static_cast<std::uint32_t>(plan.window->start.count()));
        release.set_end(static_cast<std::uint32_t>(plan.window->end.count()));
    }
}

}  // namespace

bool is_schedule(const Draft& draft, const message::Field& field, const Options& options)
{
    return draft.envelope.may_schedule() && field.is(options.scheduling_header);  // no field has an empty name
}

Step take_schedule(Draft& draft, const Options& options)
{
    bool seen = false;
    message::HeaderWalk walk(draft.head);
    while (const auto field = options.scheduling_header.empty() ? std::nullopt : walk.next()) {
        if (!is_schedule(draft, *field, options))
            continue;
        if (!is_dropped(*field, options))
            draft.edits.remove(field->offset, field->whole.size());
        if (std::exchange(seen, true))
            continue;
        const auto refused = [&](std::string_view why) {
            return Refusal{550, "5.6.0", fmt::format("Error: {}: {}", options.scheduling_header, why)};
        };
        auto plan = parse_scheduling(message::unfold(field->body, scheduling_octets + 1));
        if (!plan)
            return refused(plan.error().text());
        // Else it would be returned without a single attempt.
        handoff::Release& release = *draft.envelope.mutable_release();
        const WallTime arrival{std::chrono::microseconds{draft.envelope.arrival()}};
        plan->not_before = std::max(plan->not_before, WallTime{std::chrono::microseconds{release.not_before()}});
        const WallTime first = plan->first(arrival);
        if (const std::optional<WallTime>& expires = plan->expires; expires && *expires <= first)
            return refused(fmt::format("it expires at {}, and may not go before {}", timestamp(*expires), timestamp(first)));
        note_plan(release, *plan);
    }
    draft.envelope.clear_may_schedule();
    return std::nullopt;
}

}  // namespace posthorn::cleanup
