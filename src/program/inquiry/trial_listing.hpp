// inquiry/trial_listing.hpp: what stricter settings would have refused (docs/trials.md), asked of memory; as text and as JSON.
// Errors   as inquiry/ask.hpp has them; that the mail system is down: with status 4.3.0.
#pragma once

#include "config/snapshot.hpp"
#include "handoff/trials.pb.h"
#include "inquiry/ask.hpp"

#include <string>

namespace posthorn::inquiry {

Result<handoff::Trials> ask_trials(const config::Snapshot& snapshot, handoff::TrialsCommand command, Until until = {});

/// What was tried and how often it passed; below it who would have been refused, what for, when, and the last one of each.
std::string trial_text(const handoff::Trial& trial);
/// One object.
std::string trial_json(const handoff::Trial& trial);

}  // namespace posthorn::inquiry
