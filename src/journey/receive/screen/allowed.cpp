#include "receive/screen/allowed.hpp"

#include <algorithm>
#include <vector>

namespace posthorn::receive::screen {

Allowed::Cleaned Allowed::cleanup(WallTime now)
{
    Cleaned cleaned;
    cleaned.dropped = std::erase_if(clients_, [&](const auto& entry) { return forgotten(entry.second, now); });
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
    std::erase_if(clients_, [&](const auto& entry) { return left > 0 && entry.second.last() <= *tenth && left-- > 0; });
}

}  // namespace posthorn::receive::screen
