// schedule/window.hpp: how many deliveries one site takes at once.
// Shape    a window of 1 to `limit` deliveries. A success widens it, a site that cannot be had narrows it; after `cohort_limit` windows full of
//          failures in a row the site is dead for a while (Postfix's SCHEDULER_README describes this behaviour: the feedback is
//          per delivery, g(window) being 1, a constant, or divided by the window or its root).
// Ahead    more deliveries may be given out than the window has, to wait where the sessions are: a session that ends one finds the next
//          at hand. The window counts sessions; what is given ahead neither widens nor holds it.
// Rate     a delay after each delivery makes the window 1 and each delivery wait for the end of the delay.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"

#include <chrono>
#include <cstdint>
#include <string_view>

namespace posthorn::schedule {

/// "1", "0.5", "1/concurrency", "1/sqrt_concurrency": how much one delivery moves the window.
struct Feedback {
    enum class Divisor { none, window, root } divisor = Divisor::none;
    double amount = 1;

    static Result<Feedback> parse(std::string_view text);
    double of(double window) const;
};

struct WindowOptions {
    std::uint32_t initial = 5;
    std::uint32_t limit = 20;                    // 0: none
    std::uint32_t cohort_limit = 1;              // 0: a site is never declared dead
    Feedback positive, negative;
    std::chrono::milliseconds rate_delay{0};
};

class Window {
public:
    explicit Window(const WindowOptions& options);

    std::uint32_t size() const { return size_; }
    std::uint32_t in_flight() const { return in_flight_; }
    bool dead() const { return dead_; }
    /// A delivery may start: room in the window, no rate delay running, not dead.
    bool open(SteadyTime now) const { return !dead_ && in_flight_ < size_ && now >= not_before_; }
    /// One more may be given out to wait for one of the sessions, `ahead` for each. Not with a rate delay, nor while the site has not shown
    /// again that it takes what it took before it narrowed the window.
    bool open_ahead(SteadyTime now, std::uint32_t ahead) const
    {
        return !dead_ && ahead != 0 && options_.rate_delay.count() == 0 && failed_cohorts_ == 0 && size_ >= narrowed_from_ && now >= not_before_ &&
               in_flight_ / (1 + ahead) < size_;
    }
    /// When open() may become true without a delivery ending: the end of a rate delay.
    SteadyTime not_before() const { return not_before_; }

    void started() { ++in_flight_; }
    void succeeded(SteadyTime now);
    /// The site could not be had (no connection, 421 greeting): not a refusal of some recipient.
    void failed(SteadyTime now);
    /// Ended with no news about the site.
    void ended(SteadyTime now);
    /// A dead site is tried again, with the initial window.
    void revive();

private:
    void finish(SteadyTime now);

    WindowOptions options_;
    std::uint32_t size_, in_flight_ = 0;
    std::uint32_t narrowed_from_ = 0;            // what it was before failures narrowed it; 0: none did
    double success_ = 0, failure_ = 0;           // fractions of a step, gathered
    double failed_cohorts_ = 0;
    bool dead_ = false;
    SteadyTime not_before_{};
};

}  // namespace posthorn::schedule
