// dns/params.hpp: whom to ask, and whether to validate.                                       postconf(5): smtp_dns_support_level
#pragma once

#include "config/idna.hpp"
#include "config/param.hpp"
#include "config/snapshot.hpp"
#include "dns/resolver.hpp"

#include <array>

namespace posthorn::dns {

inline constexpr config::Param<std::string> dns_servers{
    .name = "dns_servers",
    .initial = "",
    .doc = "The recursive DNS servers to ask, as address or address@port; empty: those of /etc/resolv.conf.",
    .own = true};
inline constexpr config::Param<std::chrono::seconds> dns_time_limit{
    .name = "dns_time_limit",
    .initial = "30s",
    .least = std::chrono::seconds(1),
    .most = std::chrono::seconds(600),
    .doc = "How long one DNS question may take, retries included; then it failed for now.",
    .own = true};
inline constexpr config::Param<int> dns_cache_limit{.name = "dns_cache_limit",
                                                    .initial = "20000",
                                                    .least = 0,
                                                    .doc = "How many DNS answers each process keeps (for their time to live, an hour at most).",
                                                    .own = true};
inline constexpr config::Param<std::string> dns_trust_anchors{
    .name = "dns_trust_anchors",
    .initial = "",
    .doc = "Keys that DNSSEC begins with, as DS or DNSKEY records separated by commas: of a private network's own root. Empty: those of the root.",
    .own = true};
inline constexpr config::Param<std::string> smtp_dns_support_level{
    .name = "smtp_dns_support_level",
    .initial = "",
    .doc = "disabled, enabled, or dnssec: answers are validated. Empty: enabled unless disable_dns_lookups."};
inline constexpr config::Param<bool> disable_dns_lookups{
    .name = "disable_dns_lookups", .initial = "no", .doc = "Old form of the level disabled.", .obsolete = "smtp_dns_support_level"};

inline constexpr std::array<config::ParamInfo, 7> params{dns_servers,
                                                         dns_time_limit,
                                                         dns_cache_limit,
                                                         dns_trust_anchors,
                                                         smtp_dns_support_level,
                                                         disable_dns_lookups,
                                                         config::enable_idna2003_compatibility};

enum class Support { disabled, enabled, dnssec };

/// Options of a service; `as` is "smtp" or "lmtp". Where DNS is disabled, host_lookup is native alone, as in Postfix.
/// Errors name the parameter.
Result<Options> options_from(const config::Snapshot& config, std::string_view as = "smtp");
Result<Support> support_level(const config::Snapshot& config, std::string_view as = "smtp");

}  // namespace posthorn::dns
