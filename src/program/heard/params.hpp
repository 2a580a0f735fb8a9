// heard/params.hpp
#pragma once

#include "config/param.hpp"

namespace posthorn::heard {

using config::Param;

inline constexpr Param<int> received_reports_keep_days{.name = "received_reports_keep_days",
                                                       .initial = "60",
                                                       .least = 1,
                                                       .most = 3650,
                                                       .doc = "How long the reports are kept that come to report_addresses.",
                                                       .own = true};
inline constexpr Param<config::List> received_reports_domains{
    .name = "received_reports_domains",
    .initial = "",
    .doc =
        "Domains of which reports are kept; .example.com: all below it. Empty: whichever domain they name, up to 200, since anybody can send reports of any.",
    .own = true};
inline constexpr Param<int> received_reports_daily_limit{
    .name = "received_reports_daily_limit",
    .initial = "500",
    .least = 1,
    .most = 100'000,
    .doc = "How many reports about one domain are kept of those that come on one day: anybody can send them.",
    .own = true};

inline constexpr config::ParamInfo params[] = {received_reports_keep_days, received_reports_domains, received_reports_daily_limit};

}  // namespace posthorn::heard
