// schedule/release.hpp: mail that goes at a time of its sender's choice.                         RFC 4865; KumoMTA's scheduling
// Units    wall-clock times. An envelope without a release may always go.
// Rules    no attempt before its time, none outside its hours; lifetimes, back-off and warnings count from when it might first go.
#pragma once

#include "base/clock.hpp"
#include "handoff/words.pb.h"

#include <optional>
#include <string>

namespace posthorn::schedule {

/// `when`, or the first time behind it at which it may be tried.
WallTime may_go(const handoff::Release& release, WallTime when);
WallTime may_go(const handoff::Envelope& envelope, WallTime when);

/// What its age counts from: its arrival, or when it might first go.
WallTime counted_from(const handoff::Envelope& envelope);

/// When it is returned untried, as its sender asked.
std::optional<WallTime> expires(const handoff::Release& release);
std::optional<WallTime> expires(const handoff::Envelope& envelope);

/// The next look at it, where it would be tried at `when`: then or later, and not after it has expired.
WallTime next_look(const handoff::Release& release, WallTime when);
WallTime next_look(const handoff::Envelope& envelope, WallTime when);

/// "held until 2026-11-30 08:00 UTC, as its sender asked"
std::string held_text(WallTime until);

}  // namespace posthorn::schedule
