// inquiry/way_listing.hpp: where large segments are lost on the way (peers/path.hpp), as text and as JSON. Pure.
#pragma once

#include "peers/store.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::inquiry {

struct WayKnown {
    std::string address;
    posthorn::peers::PathRecord path;
};

/// By address; those to which segments of any size are sent again are left out.
std::vector<WayKnown> ways_of(const posthorn::peers::StoredShelf::All& all, WallTime now);

/// By its address.
bool matches(const WayKnown& known, std::string_view word);

/// "192.0.2.7  the way there: segments of 1448 octets are lost, small ones are sent until 2026-11-25 12:00:00"
std::string way_line(const WayKnown& known, WallTime now);
std::string way_text(const WayKnown& known, WallTime now);
/// One object.
std::string way_json(const WayKnown& known, WallTime now);

}  // namespace posthorn::inquiry
