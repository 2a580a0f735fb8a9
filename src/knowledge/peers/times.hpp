// peers/times.hpp: times in records that cannot be: the clock was ahead when they were written, and was put right since. Pure.
// What is over by then, a quirk's term or the wait for its next test, would be over years later otherwise. What has been was at the latest now;
// what ends, ends within its lifetime from now.
#pragma once

#include "peers/early.hpp"
#include "peers/manners.hpp"
#include "peers/portrait.hpp"
#include "peers/record.hpp"

namespace posthorn::peers {

Record believable(Record record, WallTime now);
SiteRecord believable(SiteRecord record, WallTime now);
EarlyRecord believable(EarlyRecord record, WallTime now);
Manners believable(Manners record, WallTime now);
Portrait believable(Portrait record, WallTime now);

}  // namespace posthorn::peers
