// mailauth/dmarc.hpp: is the author's domain that of who signed or sent the message, and what does it ask where it is not?       RFC 7489
// Result   none, pass, fail, temperror, permerror; header.from, and policy.dmarc of a fail (RFC 9091). Who acts on it acts on `asked` alone:
//          it is none for all but a fail.
// Authors  of several domains, in one From field or several, each is checked, and the strictest policy of those that fail is asked for (RFC 7489 6.6.1).
//          Without a From field, with more than ten domains or an address that is none: permerror. Without a domain in any address: none.
// Aligned  a temporary error counts only of an identifier that would be aligned: otherwise who forges could have one by a signature of their own.
#pragma once

#include "mailauth/dmarc_record.hpp"
#include "mailauth/finding.hpp"
#include "mailauth/public_suffixes.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

/// The record that was found, and what the author's domain could be told of the message (RFC 7489 7.2).
struct DmarcPublished {
    std::string author;  // domain
    std::string domain, record;  // where it was found: the author's, or its organization's; as it is published
    bool dkim = false, spf = false;  // an aligned one passed
    bool sampled_out = false;  // pct: it is treated milder than the policy says
};

struct DmarcFinding : Finding {
    DmarcPolicy asked = DmarcPolicy::none;
    std::optional<DmarcPublished> published;  // none: there is no record, or it could not be had
};

/// Whose message it is, by its header: A-labels in lower case, each once.
struct Authors {
    std::vector<std::string> domains;
    std::string problem;  // why it cannot be said; empty otherwise
};
Authors authors_of(std::string_view head);

struct DmarcRequest {
    /// `found`: of SPF one and of DKIM one for each signature, others are passed over. `random`: 0..99, for pct.
    DmarcRequest(Authors authors, std::vector<Finding> found, unsigned random);

    Authors authors;
    std::vector<Finding> found;
    unsigned random;
};

/// `suffixes` lives until it is done.
awaitable<DmarcFinding> check_dmarc(DmarcRequest request, const PublicSuffixes& suffixes, Ask ask);

}  // namespace posthorn::mailauth
