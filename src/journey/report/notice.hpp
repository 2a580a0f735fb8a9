// report/notice.hpp: mail to the postmaster about an SMTP session in which something went wrong.                       postconf(5), notify_classes
// Shape    as Postfix writes it: what was said and heard line by line, and how it ended. From the double-bounce address: nothing comes of it
//          where it cannot be delivered.
#pragma once

#include "report/compose.hpp"

namespace posthorn::report {

handoff::EnqueueRequest session_notice(const handoff::SessionNotice& notice, const Options& options, std::string queue_id, WallTime now);

}  // namespace posthorn::report
