// report/whom.hpp: who is to be told about these recipients.        RFC 3461 4.1, 5.2.7; RFC 5321 4.5.5, 6.1
// Never a loop: a report goes out from <>, and about mail from <> only the postmaster hears, if at all.
#pragma once

#include "handoff/frames.pb.h"
#include "handoff/notify_classes.hpp"

#include <string>
#include <vector>

namespace posthorn::report {

struct Addressees {
    /// Recipients (positions in the request's verdicts) that the sender is told about; empty: no report to the sender.
    std::vector<std::size_t> for_sender;
    /// The same for the postmaster.
    std::vector<std::size_t> for_postmaster;
    /// The message came from the double-bounce address itself: nothing is sent to anybody.
    bool discard = false;
};

/// Who hears of bounces hears of those that cannot be sent (postconf(5), notify_classes). `double_bounce_sender`: the full address (double-bounce@myorigin).
Addressees whom(const handoff::ReportRequest& request, const handoff::NotifyClasses& classes, std::string_view double_bounce_sender);

}  // namespace posthorn::report
