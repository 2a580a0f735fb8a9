// scheduling_header: what a sender's field says. It is read whole or refused in words; what was read names a zone, days and hours that there are,
// and the first moment that it allows is one that it allows, and the first.
#include "fuzz.hpp"

#include "base/timestamp.hpp"
#include "cleanup/scheduling_field.hpp"

namespace posthorn::fuzz {

void fuzz_one(std::string_view input)
{
    using std::chrono::days;
    using std::chrono::seconds;
    const auto plan = cleanup::parse_scheduling(input);
    if (!plan) {
        FUZZ_CHECK(!plan.error().text().empty() && plan.error().text().size() < 20'000);
        return;
    }
    FUZZ_CHECK(plan->not_before >= WallTime{} && plan->expires.value_or(WallTime{}) >= WallTime{});
    const WallTime now = *parse_timestamp("2026-03-28T23:30:00Z");  // before a night in which clocks are set
    const WallTime first = plan->first(now);
    FUZZ_CHECK(first >= now && first >= plan->not_before);
    FUZZ_CHECK(plan->first(first) == first);
    if (!plan->window) {
        FUZZ_CHECK(first == std::max(now, plan->not_before));
        return;
    }
    const calendar::Window& window = *plan->window;
    FUZZ_CHECK(window.days != 0 && window.days <= calendar::all_days && calendar::is_time_zone(window.zone));
    FUZZ_CHECK(window.start >= seconds{0} && window.start < days{1} && window.end >= seconds{0} && window.end < days{1});
    FUZZ_CHECK(calendar::is_open(window, first));
    FUZZ_CHECK(first <= std::max(now, plan->not_before) + days{17});
    FUZZ_CHECK(first == std::max(now, plan->not_before) || !calendar::is_open(window, first - seconds{1}));
}

}  // namespace posthorn::fuzz
