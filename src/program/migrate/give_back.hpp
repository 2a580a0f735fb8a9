// migrate/give_back.hpp: our queue becomes that of a stopped Postfix, in the steps of move_out.hpp.
// What       every message as a queue file in QUEUE/incoming, held ones in QUEUE/hold, under a name that Postfix accepts (short form, with the file's
//            own inode). Postfix tries them when it starts.
// Not given  what a queue file cannot say (REQUIRETLS, BINARYMIME), and submissions in our maildrop: a Trouble each; they stay.
#pragma once

#include "migrate/move_out.hpp"

namespace posthorn::migrate {

/// `to`: the queue directory of Postfix, which may be the same one.
Result<Taken> give_back_queue(const config::Snapshot& snapshot, const std::string& to, const Step& step = {});

}  // namespace posthorn::migrate
