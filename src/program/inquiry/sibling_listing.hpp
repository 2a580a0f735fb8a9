// inquiry/sibling_listing.hpp: with whom memory shares what it knows (docs/siblings.md), asked of it; as text and as JSON.
// Errors   as inquiry/ask.hpp has them; that the mail system is down: with status 4.3.0.
#pragma once

#include "config/snapshot.hpp"
#include "handoff/frames.pb.h"
#include "inquiry/ask.hpp"

#include <string>

namespace posthorn::inquiry {

Result<handoff::Siblings> ask_siblings(const config::Snapshot& snapshot, Until until = {});

/// Who it is, since when it is connected, how much came and went, what failed last.
std::string sibling_text(const handoff::Sibling& sibling);
/// One object.
std::string sibling_json(const handoff::Sibling& sibling);

}  // namespace posthorn::inquiry
