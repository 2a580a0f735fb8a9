#include "supervisor/restart.hpp"

#include <algorithm>
#include <utility>

namespace posthorn::supervisor {

std::chrono::seconds Restart::ended(SteadyTime now, bool was_ready)
{
    using namespace std::chrono_literals;
    if (was_ready && now - started_ >= proof_of_life)
        next_ = 0s;
    else if (!was_ready)
        next_ = std::max(next_, 1s);
    const auto wait = std::min(next_, longest_);
    next_ = std::clamp<std::chrono::seconds>(next_ * 2, 1s, longest_);
    return wait;
}

}  // namespace posthorn::supervisor
