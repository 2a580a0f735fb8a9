// aggregate/params.hpp
#pragma once

#include "config/param.hpp"

namespace posthorn::aggregate {

using config::Param;

inline constexpr Param<config::List> aggregate_reports{
    .name = "aggregate_reports",
    .initial = "",
    .doc =
        "Which daily reports other domains have where they ask for them: tls (what became of TLS with their servers: RFC 8460), dmarc (what mail that "
        "says it is theirs proved: RFC 7489; mailauth_checks has to have dmarc). Empty: none.",
    .own = true};
inline constexpr Param<std::string> aggregate_reports_organization{
    .name = "aggregate_reports_organization", .initial = "$mydomain", .least = 1, .doc = "Who reports, in words.", .own = true};
inline constexpr Param<std::string> aggregate_reports_address{
    .name = "aggregate_reports_address",
    .initial = "postmaster@$mydomain",
    .least = 3,
    .doc = "Whom reports come from, in envelope and header, and who can be asked about them. What comes back of reports comes there.",
    .own = true};
inline constexpr Param<std::chrono::seconds> aggregate_reports_spread{
    .name = "aggregate_reports_spread",
    .initial = "4h",
    .most = std::chrono::hours{20},
    .doc = "Reports leave within this time after midnight UTC, each domain's at a time of its own.",
    .own = true};
inline constexpr Param<config::List> aggregate_reports_exceptions{
    .name = "aggregate_reports_exceptions", .initial = "", .doc = "Domains that have no reports; .example.com: all below it.", .own = true};

inline constexpr config::ParamInfo params[] = {aggregate_reports, aggregate_reports_organization, aggregate_reports_address, aggregate_reports_spread,
                                               aggregate_reports_exceptions};

}  // namespace posthorn::aggregate
