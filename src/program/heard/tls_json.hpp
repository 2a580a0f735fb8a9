// heard/tls_json.hpp: a report of TLS.                                                                             RFC 8460 4.4
// Shape    one JSON object; a report for each policy-domain in it. Members that are not known are passed over, those that are missing are
//          empty; needed are report-id and a policy with a policy-domain. A number may be in quotes. What the policy says is left out: it is ours,
//          and each row would have it.
// Errors   no JSON (with the offset), nested too deep, what is needed is missing, a count that is none.
// Trust    none: see report.hpp. What fails without a detail is a row all the same, with the type "unspecified".
// Pure.
#pragma once

#include "heard/report.hpp"

namespace posthorn::heard {

/// In no more octets than this a report of TLS is read: what is read is kept whole, and takes several times the memory.
inline constexpr std::size_t most_json = 8'388'608;

Result<std::vector<Report>> read_tls(std::string_view json);

}  // namespace posthorn::heard
