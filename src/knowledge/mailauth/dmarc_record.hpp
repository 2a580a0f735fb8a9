// mailauth/dmarc_record.hpp: what a domain asks of mail that says it is the author's.                                    RFC 7489 6.3, 6.4
// Shape    "v=DMARC1; p=reject; ...": v first; of a tag that stands twice the first counts; what is no tag, an unknown tag and a value that its tag
//          does not take are passed over, so that the default holds (RFC 7489 6.3). p and sp alone must be right: see parse_dmarc_record().
// Bounds   a record of more than 8 KiB is an Error.
// Pure. Trust: none.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::mailauth {

/// From the mildest to the strictest.
enum class DmarcPolicy : std::uint8_t { none, quarantine, reject };
std::string_view dmarc_policy_name(DmarcPolicy policy);

struct DmarcRecord {
    DmarcPolicy policy = DmarcPolicy::none;               // p
    std::optional<DmarcPolicy> subdomain_policy;          // sp
    bool strict_dkim = false, strict_spf = false;         // adkim, aspf
    unsigned percent = 100;                               // pct
    std::uint32_t report_interval = 86400;                // ri, seconds
    std::string aggregate_reports, failure_reports;       // rua, ruf, as written
    std::string failure_options = "0";                    // fo
    bool operator==(const DmarcRecord&) const = default;
};

bool is_dmarc_record(std::string_view text);
/// `text` is one that is_dmarc_record() took. Without a valid p, or with an sp that is none, it is one of p=none where it says where reports go, and
/// an Error otherwise (RFC 7489 6.6.3, 6).
Result<DmarcRecord> parse_dmarc_record(std::string_view text);

}  // namespace posthorn::mailauth
