// exim/take_over_exim.hpp: the queue of a stopped Exim becomes ours, in the steps of migrate/move_in.hpp.
// What       SPOOL/input and its folders of one letter, SPOOL/NAME/input of named queues. Kept: sender, open recipients with NOTIFY and ORCPT, RET, ENVID,
//            arrival, content, SMTPUTF8, client; frozen: on hold, bounces too. Not kept: the time of the next try (it is tried at once); that a delay warning was
//            sent; what routers and transports would have added.
// Link       a folder: ID-H, ID-D and the message log as links, ID-J as a copy, since Exim writes on in it; `left`, the original -H, as soon as we have moved
//            it there: Exim knows a message by that file alone.
// Exim       between two runs may have gone on with a message: its -H is another file then, or gone without our `left`, or -J is longer. Then ours, which is on
//            hold, is removed, and what is left is taken anew. While a message is on its way its -D is locked, as Exim itself does it.
// Originals  end in SPOOL/posthorn-taken/input/ID/, or queue-NAME/ID/; links of what Exim went on with in withdrawn/.
#pragma once

#include "migrate/move_in.hpp"

namespace posthorn::exim {

/// `spool`: Exim's spool_directory. Error: also that an Exim works on it.
Result<migrate::Taken> take_over_queue(const config::Snapshot& snapshot, const std::string& spool, const migrate::Step& step = {});

}  // namespace posthorn::exim
