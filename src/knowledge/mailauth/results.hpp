// mailauth/results.hpp: Authentication-Results fields: ours, made; those that others made in our name, found.             RFC 8601, RFC 8616
// Shape    one field of this host for a message, folded, CRLF at the end: "Authentication-Results: ID; method=result reason=... type.name=value; ...".
// UTF-8    only where the message may have it; else domains become A-labels, and other text loses it (RFC 6532).
// Pure. Trust: of findings none: values and reasons are quoted where they are no tokens, and control octets in them become "?".
#pragma once

#include "mailauth/finding.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

/// The body of the field, which an ARC-Authentication-Results field has behind its instance. Empty `findings`: "none", nothing was checked.
std::string results_text(std::string_view service_id, const std::vector<Finding>& findings, bool utf8);

std::string results_field(std::string_view service_id, const std::vector<Finding>& findings, bool utf8);

/// The same in one line for the log: "dkim=pass header.d=example.com spf=none".
std::string results_for_log(const std::vector<Finding>& findings);

/// Does this field (its body) say that it is of `service_id`, or can that not be told? Whoever believes it might.
bool may_be_result_of(std::string_view service_id, std::string_view body);

/// `head` without such fields; the same text where it has none.
std::string without_results_of(std::string_view service_id, std::string_view head);

}  // namespace posthorn::mailauth
