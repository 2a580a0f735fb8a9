// exim/give_back_exim.hpp: our queue becomes that of a stopped Exim, in the steps of migrate/move_out.hpp.
// What       every message as -H and -D in SPOOL/input, where Exim finds it whether it splits the folder or not; held ones frozen. Exim tries the others at its next queue run.
// Not given  what spool_writer.hpp cannot say, a header of more than a mebibyte, and submissions in our maildrop: a Trouble each; they stay.
#pragma once

#include "migrate/move_out.hpp"

namespace posthorn::exim {

/// `spool`: Exim's spool_directory. Error: also that an Exim works on it.
Result<migrate::Taken> give_back_queue(const config::Snapshot& snapshot, const std::string& spool, const migrate::Step& step = {});

}  // namespace posthorn::exim
