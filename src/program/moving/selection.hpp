// moving/selection.hpp: which messages are meant. A message goes as a whole: one recipient that is meant takes all of its recipients along.
#pragma once

#include "base/error.hpp"
#include "handoff/frames.pb.h"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::moving {

struct Selection {
    bool all = false;
    std::vector<std::string> queue_ids;
    std::vector<std::string> recipients, senders;          // "user@domain", "domain", "<>" (senders)

    /// A word of the command line; an Error where it is neither of them. What looks like a queue id is one: a domain has a dot.
    Result<void> add(std::string_view word);
    Result<void> add_sender(std::string_view word);
    bool empty() const { return !all && queue_ids.empty() && recipients.empty() && senders.empty(); }
    bool means(const handoff::QueueEntry& entry) const;
};

}  // namespace posthorn::moving
