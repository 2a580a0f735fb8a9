#include "receive/screen/allowed.hpp"

#include <algorithm>
#include <vector>

namespace posthorn::receive::screen {

std::size_t Allowed::forget(const std::function<bool(const Passed&)>& whom)
{
    return std::erase_if(clients_, [&](const auto& entry) {
        if (!whom(entry.second))
            return false;
        if (on_forget)
            on_forget(entry.first);
        return true;
    });
}

Allowed::Cleaned Allowed::cleanup(WallTime now)
{
    Cleaned cleaned;
    cleaned.dropped = forget([&](const Passed& passed) { return forgotten(passed, now); });
    cleaned.retained = clients_.size();
    return cleaned;
}

// A tenth at once, so that a flood does not look at all of them for each newcomer.
void Allowed::make_room(WallTime now)
{
    if (cleanup(now).retained < limit_)
        return;
    std::vector<WallTime> ends;
    ends.reserve(clients_.size());
    for (const auto& [address, passed] : clients_)
        ends.push_back(passed.last());
    const auto tenth = ends.begin() + static_cast<std::ptrdiff_t>(ends.size() / 10);
    std::ranges::nth_element(ends, tenth);
    std::size_t left = ends.size() / 10 + 1;
    forget([&](const Passed& passed) { return left > 0 && passed.last() <= *tenth && left-- > 0; });
}

}  // namespace posthorn::receive::screen
