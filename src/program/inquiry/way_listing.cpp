#include "inquiry/way_listing.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "inquiry/peer_listing.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::inquiry {

using namespace posthorn::peers;

namespace {

bool is_proved(const WayKnown& known, WallTime now) { return known.path.until > now; }

WallTime small_until(const WayKnown& known, WallTime now)
{
    return is_proved(known, now) ? known.path.until : known.path.suspected + PathRecord::suspected_for;
}

std::string what_is_lost(const WayKnown& known)
{
    return fmt::format("segments of {} octets are lost{}", known.path.lost,
                       known.path.told_by.empty() ? "" : " (told by " + printable(known.path.told_by) + ")");
}

}  // namespace

std::vector<WayKnown> ways_of(const StoredShelf::All& all, WallTime now)
{
    std::vector<WayKnown> known;
    for (const auto& [address, path] : all.ways)
        if (small_segments(path, now))
            known.push_back({address, path});
    std::ranges::sort(known, {}, &WayKnown::address);
    return known;
}

bool matches(const WayKnown& known, std::string_view word) { return iequals(known.address, word); }

std::string way_line(const WayKnown& known, WallTime now)
{
    return fmt::format("{}  the way there: {}, small ones are {} until {}\n", printable(known.address), what_is_lost(known),
                       is_proved(known, now) ? "sent" : "tried", local_time(small_until(known, now)));
}

std::string way_text(const WayKnown& known, WallTime now)
{
    std::string text = fmt::format("the way to {}\n", printable(known.address));
    const auto say = [&](std::string_view name, const std::string& what) { text += fmt::format("  {:<14} {}\n", name, what); };
    say("segments", fmt::format("{}: who drops them tells nobody (path MTU)", what_is_lost(known)));
    say("", is_proved(known, now) ? "small ones arrive" : "suspected: no content has arrived in small ones yet");
    say("small ones", fmt::format("until {}; then large ones are tried again", local_time(small_until(known, now))));
    say("by hand", fmt::format("a route to {} with \"mtu lock 1280\"", printable(known.address)));
    return text;
}

std::string way_json(const WayKnown& known, WallTime now)
{
    return fmt::format(R"({{"way": {}, "segments_lost": {}, "proved": {}, "small_until": {}}})", json_text(known.address), known.path.lost,
                       is_proved(known, now), json_time(small_until(known, now)));
}

}  // namespace posthorn::inquiry
