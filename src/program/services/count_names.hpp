// services/count_names.hpp: what a process asked of names, for who counts it.
#pragma once

#include "dns/resolver.hpp"
#include "handoff/counting.hpp"
#include "services/counters.hpp"

namespace posthorn::services {

inline void count_names(handoff::CountersReply& reply, const dns::Resolver& resolver)
{
    const dns::Resolver::Counts& counts = resolver.counts();
    handoff::count(reply, dns_questions, counts.questions);
    handoff::count(reply, dns_from_cache, counts.from_cache);
    handoff::count(reply, dns_asked, counts.asked);
    handoff::count(reply, dns_temporary, counts.temporary);
}

}  // namespace posthorn::services
