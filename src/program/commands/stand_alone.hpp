// commands/stand_alone.hpp: sendmail -bs: an SMTP session on standard input and output, for one local user.            sendmail(1)
// Rights   the caller's: each message goes to postdrop, as with any other use of sendmail. Nobody can reach more by it than by
//          `sendmail -t`, so access controls do not apply. What is accepted has been synced by postdrop when the 250 leaves.
#pragma once

#include "config/snapshot.hpp"

namespace posthorn::commands {

/// Until QUIT or the end of standard input. The exit status.
int smtp_dialogue(const config::Snapshot& snapshot);

}  // namespace posthorn::commands
