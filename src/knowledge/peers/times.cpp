#include "peers/times.hpp"

#include "peers/greylist.hpp"
#include "peers/learn.hpp"

#include <algorithm>

namespace posthorn::peers {

namespace {

template <class... Times>
void by(WallTime latest, Times&... times)
{
    ((times = std::min(times, latest)), ...);
}

}  // namespace

Record believable(Record record, WallTime now)
{
    by(now, record.first, record.last, record.changes[0], record.changes[1], record.removed, record.tls_worked, record.tls_alarm);
    by(now + quirk_lifetime, record.discards_bdat_until, record.limits_until, record.told_limits.until);
    for (Cleared& cleared : record.cleared)
        by(now, cleared.when);
    for (Mark& mark : record.marks) {
        by(now, mark.first, mark.last, mark.since, mark.canary, mark.worked);
        by(now + quirk_lifetime, mark.until);
    }
    return record;
}

SiteRecord believable(SiteRecord record, WallTime now)
{
    by(now, record.last);
    for (SiteRecord::Shared& shared : record.shared)
        by(now + quirk_lifetime, shared.until);
    return record;
}

EarlyRecord believable(EarlyRecord record, WallTime now)
{
    by(now, record.last, record.crowded);
    by(now + EarlyRecord::switched_off, record.off_until);
    by(now, record.path.suspected);
    by(now + PathRecord::sure_for, record.path.until);
    for (EarlyHost& host : record.hosts) {
        by(now, host.last);
        for (WallTime& when : host.clean)
            by(now, when);
    }
    return record;
}

Manners believable(Manners record, WallTime now)
{
    by(now, record.last);
    by(now + sessions_lifetime, record.sessions_until);
    by(now + greylist_lifetime, record.greylists_until);
    return record;
}

Portrait believable(Portrait record, WallTime now)
{
    by(now, record.last, record.expiry_told);
    for (Trait& trait : record.traits)
        by(now, trait.since, trait.told);
    for (Change& change : record.changes)
        by(now, change.told);
    return record;
}

}  // namespace posthorn::peers
