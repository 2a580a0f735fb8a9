// inquiry/queue_action.hpp: what an operator does to messages, by postsuper or over HTTP: the same frames, the same words.       postsuper(1), postqueue(1)
#pragma once

#include "handoff/frames.pb.h"

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::inquiry {

struct QueueAction {
    std::string_view name;  // over HTTP
    char option;  // of postsuper, of postqueue where that has it
    handoff::QueueCommand::Verb verb;
    const char* queues;  // where it looks, unless queues are named
    const char* done;  // "QID: removed"
};
inline constexpr QueueAction queue_actions[] = {
    {"delete", 'd', handoff::QueueCommand::DELETE, "", "removed"},
    {"expire", 'e', handoff::QueueCommand::EXPIRE, "", "expired"},
    {"expire-release", 'f', handoff::QueueCommand::EXPIRE_RELEASE, "", "expired"},
    {"hold", 'h', handoff::QueueCommand::HOLD, "incoming active deferred", "placed on hold"},
    {"release", 'H', handoff::QueueCommand::RELEASE, "hold", "released from hold"},
    {"requeue", 'r', handoff::QueueCommand::REQUEUE, "", "requeued"},
    {"flush", 'i', handoff::QueueCommand::SCHEDULE, "", "scheduled for delivery"},
};

/// A destination as `postqueue -s` takes it, without brackets; none where it is no domain or address of a host.
inline std::optional<std::string> flush_site(std::string_view site)
{
    if (site.starts_with('[') && site.ends_with(']'))
        site = site.substr(1, site.size() - 2);
    if (site.empty() || site.find_first_of("@ \t/") != site.npos)
        return {};
    return std::string(site);
}

}  // namespace posthorn::inquiry
