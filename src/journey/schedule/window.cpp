#include "schedule/window.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace posthorn::schedule {

Result<Feedback> Feedback::parse(std::string_view text)
{
    Feedback feedback;
    const std::string_view whole = trim(text);
    const std::size_t slash = whole.find('/');
    const std::string_view number = trim(whole.substr(0, slash));
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), feedback.amount);
    if (number.empty() || error != std::errc{} || end != number.data() + number.size() || !(feedback.amount >= 0 && feedback.amount <= 1))
        return Error{fmt::format("bad feedback \"{}\": want a number from 0 to 1, optionally followed by /concurrency or /sqrt_concurrency", whole)};
    if (slash != whole.npos) {
        const std::string_view divisor = trim(whole.substr(slash + 1));
        if (divisor == "concurrency")
            feedback.divisor = Divisor::window;
        else if (divisor == "sqrt_concurrency")
            feedback.divisor = Divisor::root;
        else
            return Error{fmt::format("bad feedback \"{}\": \"{}\" is neither concurrency nor sqrt_concurrency", whole, divisor)};
    }
    return feedback;
}

double Feedback::of(double window) const
{
    switch (divisor) {
    case Divisor::none: return amount;
    case Divisor::window: return amount / window;
    case Divisor::root: return amount / std::sqrt(window);
    }
    return amount;
}

Window::Window(const WindowOptions& options)
    : options_(options), size_(std::max<std::uint32_t>(1, options.limit > 0 ? std::min(options.initial, options.limit) : options.initial))
{
    if (options_.rate_delay.count() > 0)
        size_ = 1;
}

void Window::finish(SteadyTime now)
{
    if (in_flight_ > 0)
        --in_flight_;
    if (options_.rate_delay.count() > 0)
        not_before_ = now + options_.rate_delay;
}

void Window::ended(SteadyTime now) { finish(now); }

void Window::succeeded(SteadyTime now)
{
    const bool full = in_flight_ >= size_;               // only a window that was used up is shown to be too small
    finish(now);
    failed_cohorts_ = 0;
    failure_ = 0;
    dead_ = false;
    if (options_.rate_delay.count() > 0 || !full || (options_.limit > 0 && size_ >= options_.limit))
        return;
    success_ += options_.positive.of(size_);
    while (success_ >= 1 && (options_.limit == 0 || size_ < options_.limit)) {
        ++size_;
        success_ -= 1;
    }
}

void Window::failed(SteadyTime now)
{
    finish(now);
    success_ = 0;
    failed_cohorts_ += 1.0 / size_;
    // A little slack, because thirds do not add up to one in binary.
    if (options_.cohort_limit > 0 && failed_cohorts_ >= options_.cohort_limit - 1e-9) {
        dead_ = true;
        return;
    }
    failure_ += options_.negative.of(size_);
    while (failure_ >= 1 && size_ > 1) {
        narrowed_from_ = std::max(narrowed_from_, size_);
        --size_;
        failure_ -= 1;
    }
}

void Window::revive()
{
    const std::uint32_t flying = in_flight_;
    *this = Window(options_);
    in_flight_ = flying;
}

}  // namespace posthorn::schedule
