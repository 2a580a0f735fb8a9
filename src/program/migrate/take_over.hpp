// migrate/take_over.hpp: the queue of a stopped Postfix becomes ours.
// What       incoming, active, deferred, hold, and the maildrop, whose files are cleaned by us. Kept: sender, open recipients with what was asked for each,
//            arrival, content, body type, SMTPUTF8, client, filter, hold, the time of the next try. Not kept: why it was deferred; that a delay
//            warning was sent.
// Originals  are never deleted: they end in QUEUE/posthorn-taken/QUEUE-NAME/.
// Once       a file is linked into posthorn-taken/taking with the queue id that it gets; committed on hold; taken out of its queue; its link moved to
//            releasing; released; moved to its place. What is on hold nobody delivers, so that a run that is cut off anywhere is finished by the next.
// Errors     what stops everything: a mail system runs, folders cannot be written, the spool fails or has no room. A file that cannot be read is a
//            Trouble, stays where it is, and the rest is taken.
#pragma once

#include "config/snapshot.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace posthorn::migrate {

struct Trouble {
    std::string path, reason;
};
struct Taken {
    std::uint64_t messages = 0, recipients = 0;
    std::map<std::string, std::uint64_t> by_queue;
    std::vector<Trouble> troubles;
    std::string kept_in;
};

/// `snapshot`: Posthorn's configuration; `from`: the queue directory of Postfix, which may be the same one.
/// `step` is called behind each step, where a run may be cut off: for tests.
using Step = std::function<void()>;
Result<Taken> take_over_queue(const config::Snapshot& snapshot, const std::string& from, const Step& step = {});

}  // namespace posthorn::migrate
