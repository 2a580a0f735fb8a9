// migrate/take_over.hpp: the queue of a stopped Postfix becomes ours, in the steps of move_in.hpp.
// What       incoming, active, deferred, hold, and the maildrop, whose files are cleaned by us. Kept: sender, open recipients with what was asked for each,
//            arrival, content, body type, SMTPUTF8, client, filter, hold, the time of the next try. Not kept: why it was deferred; that a delay
//            warning was sent.
// Originals  end in QUEUE/posthorn-taken/QUEUE-NAME/.
#pragma once

#include "migrate/move_in.hpp"

namespace posthorn::migrate {

/// `from`: the queue directory of Postfix, which may be ours. `step`: as for move_in().
Result<Taken> take_over_queue(const config::Snapshot& snapshot, const std::string& from, const Step& step = {});

}  // namespace posthorn::migrate
