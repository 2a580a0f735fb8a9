// spool/params.hpp: the parameters of this room; all are Posthorn's own, Postfix's queue has no such thing. Read at the start of qmgr.
#pragma once

#include "config/param.hpp"

#include <chrono>

namespace posthorn::spool {

using config::Param;

inline constexpr Param<config::Octets> spool_checkpoint_size{
    .name = "spool_checkpoint_size",
    .initial = "4194304",
    .least = config::Octets{65536},
    .most = config::Octets{1073741824},
    .doc = "When the write-ahead log of the queue is this long and nobody waits, it is moved into the database; at four times this, in any case.",
    .own = true};
inline constexpr Param<config::Octets> spool_cache_size{.name = "spool_cache_size",
                                                        .initial = "16777216",
                                                        .least = config::Octets{1048576},
                                                        .doc = "Memory for pages of the queue database.",
                                                        .own = true};
inline constexpr Param<config::Octets> spool_free_size{
    .name = "spool_free_size",
    .initial = "67108864",
    .doc = "Free space kept inside the queue database for new mail; what is above it goes back to the file system.",
    .own = true};
inline constexpr Param<std::chrono::seconds> spool_orphan_age{
    .name = "spool_orphan_age",
    .initial = "300s",
    .doc = "A content file that no message names and no process is writing is removed after this time.",
    .own = true};
inline constexpr Param<std::chrono::seconds> spool_remember_time{
    .name = "spool_remember_time",
    .initial = "120s",
    .least = std::chrono::seconds{10},
    .doc = "How long the queue remembers a message that has left, for a receiving process that lost the answer and asks again.",
    .own = true};

inline constexpr config::ParamInfo params[] = {spool_checkpoint_size, spool_cache_size, spool_free_size, spool_orphan_age, spool_remember_time};

}  // namespace posthorn::spool
