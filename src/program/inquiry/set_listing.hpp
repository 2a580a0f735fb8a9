// inquiry/set_listing.hpp: what MX sets, and hosts that greylist, are known to ask of whoever sends to them; as text and as JSON. Pure.
#pragma once

#include "peers/store.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::inquiry {

struct SetKnown {
    std::string name;                                          // an MX set's, or the address of a host
    posthorn::peers::Manners manners;
    std::optional<posthorn::peers::Restraint> restraint;
};

/// By name; those of which nothing is in force any more are left out.
std::vector<SetKnown> sets_of(const posthorn::peers::StoredShelf::All& all, WallTime now);

/// By its name, one of its hosts, or a site with or without its transport.
bool matches(const SetKnown& known, std::string_view word);

/// "mx.big.test  serves smtp:big.test: nothing is sent until 2026-11-25 12:00:00, then one delivery at a time"
std::string set_line(const SetKnown& known, WallTime now);
std::string set_text(const SetKnown& known, WallTime now);
/// One object.
std::string set_json(const SetKnown& known, WallTime now);

}  // namespace posthorn::inquiry
