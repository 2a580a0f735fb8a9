// process/params.hpp: what every service process is told.
#pragma once

#include "config/param.hpp"

namespace posthorn::process {

using config::Param;

inline constexpr Param<std::chrono::seconds> helper_warn_time{
    .name = "helper_warn_time",
    .initial = "10s",
    .doc =
        "A filter, policy server, database, list in the DNS or login service that has not answered for so long while mail waits is named in the log, once a minute, "
        "and when it answers again (posthorn helpers). 0: it is not.",
    .own = true};

inline constexpr config::ParamInfo params[] = {helper_warn_time};

}  // namespace posthorn::process
