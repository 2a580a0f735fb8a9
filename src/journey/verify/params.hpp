// verify/params.hpp: the parameters of this room.                                     ADDRESS_VERIFICATION_README
#pragma once

#include "config/param.hpp"

namespace posthorn::verify {

using config::Param;
using std::chrono::seconds;

inline constexpr Param<std::string> address_verify_map{
    .name = "address_verify_map",
    .initial = "$default_cache_db_type:$data_directory/verify_cache",
    .doc = "Where the results of address verification are kept, as type:name; empty: in memory, until the end of the process."};
inline constexpr Param<bool> address_verify_negative_cache{
    .name = "address_verify_negative_cache", .initial = "yes", .doc = "Keep the results of probes that failed as well."};
inline constexpr Param<seconds> address_verify_positive_expire_time{.name = "address_verify_positive_expire_time",
                                                                    .initial = "31d",
                                                                    .least = seconds{1},
                                                                    .doc =
                                                                        "For how long an address counts as deliverable after it was last found so."};
inline constexpr Param<seconds> address_verify_positive_refresh_time{
    .name = "address_verify_positive_refresh_time",
    .initial = "7d",
    .least = seconds{1},
    .doc = "After this, an address that is asked about is answered from the cache and probed again."};
inline constexpr Param<seconds> address_verify_negative_expire_time{
    .name = "address_verify_negative_expire_time", .initial = "3d", .least = seconds{1}, .doc = "For how long a failed probe counts."};
inline constexpr Param<seconds> address_verify_negative_refresh_time{
    .name = "address_verify_negative_refresh_time",
    .initial = "3h",
    .least = seconds{1},
    .doc = "After this, an address whose probe failed is answered from the cache and probed again."};
inline constexpr Param<seconds> address_verify_cache_cleanup_interval{
    .name = "address_verify_cache_cleanup_interval", .initial = "12h", .doc = "How often what has expired is taken out of the cache; 0: never."};
inline constexpr Param<std::string> address_verify_sender{
    .name = "address_verify_sender", .initial = "$double_bounce_sender", .doc = "The sender of probes; empty or <>: the null sender."};
inline constexpr Param<seconds> address_verify_sender_ttl{
    .name = "address_verify_sender_ttl", .initial = "0s", .doc = "For how long a sender of probes is used; 0: it does not change."};
inline constexpr Param<int> address_verify_pending_request_limit{
    .name = "address_verify_pending_request_limit",
    .initial = "5000",
    .least = 1,
    .doc = "How many probes may be under way; what is asked beyond is answered with a deferral."};

inline constexpr Param<std::string> address_verify_control_domains{
    .name = "address_verify_control_domains",
    .initial = "$relay_domains",
    .doc =
        "Domains whose next host is asked about a random address as well, to see whether it takes every recipient; others would take it for harvesting.",
    .since = "posthorn 0.1",
    .own = true};
inline constexpr Param<int> address_verify_site_session_limit{.name = "address_verify_site_session_limit",
                                                              .initial = "2",
                                                              .least = 1,
                                                              .doc = "Sessions of address probes with one site at one time.",
                                                              .since = "posthorn 0.1",
                                                              .own = true};
inline constexpr Param<int> address_verify_site_pending_limit{
    .name = "address_verify_site_pending_limit",
    .initial = "500",
    .least = 1,
    .doc = "Addresses of one site that may wait for a probe; what is asked beyond is deferred, and nothing is remembered of it.",
    .since = "posthorn 0.1",
    .own = true};

inline constexpr Param<int> address_verify_refresh_rate_limit{
    .name = "address_verify_refresh_rate_limit",
    .initial = "60",
    .least = 0,
    .doc = "How many addresses a minute are probed again when their refresh time has come, because somebody asked about them not long before it; "
           "0: only when somebody asks after it.",
    .since = "posthorn 0.1",
    .own = true};

inline constexpr config::ParamInfo params[] = {address_verify_map,
                                               address_verify_negative_cache,
                                               address_verify_positive_expire_time,
                                               address_verify_positive_refresh_time,
                                               address_verify_negative_expire_time,
                                               address_verify_negative_refresh_time,
                                               address_verify_cache_cleanup_interval,
                                               address_verify_sender,
                                               address_verify_sender_ttl,
                                               address_verify_pending_request_limit,
                                               address_verify_control_domains,
                                               address_verify_site_session_limit,
                                               address_verify_site_pending_limit,
                                               address_verify_refresh_rate_limit};

}  // namespace posthorn::verify
