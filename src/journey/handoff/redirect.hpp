// handoff/redirect.hpp: REDIRECT, on the way into the queue: one recipient instead of all.
#pragma once

#include "handoff/words.pb.h"

namespace posthorn::handoff {

/// What was asked for the first recipient by name, and where it came from, stays with the new one, as in Postfix. A filter has no say any more.
/// Nothing without Envelope.redirect, or without recipients.
void redirect(Envelope& envelope);

}  // namespace posthorn::handoff
