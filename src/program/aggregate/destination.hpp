// aggregate/destination.hpp: where a domain wants its reports: what stands behind rua= of its record.                      RFC 8460 3, RFC 7489 6.2
// Shape    "mailto:tls@example.com,https://example.com/v1/tlsrpt"; of DMARC with "!10m" behind, the most octets that may come.
// Errors   none: what is no such place, or not of these two ways, is passed over. At most ten are taken, in their order.
// Trust    none: the record is a stranger's. An address is ASCII, with a domain, and has no octet that a header could break at.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::aggregate {

struct Destination {
    enum class Way : std::uint8_t { mail, https };
    Way way = Way::mail;
    std::string text;            // as it stands in the record, without the limit: what logs say, and what is kept of where a report has been
    std::string address;         // of mail: "tls@example.com"
    std::uint64_t most = 0;      // octets as they are sent; 0: no limit
    bool operator==(const Destination&) const = default;
};

/// The value of a record's first tag of that name; empty: it has none.
std::string_view tag_of(std::string_view record, std::string_view name);

/// A list of places. `limits`: "!10m" may stand behind one.
std::vector<Destination> destinations_of(std::string_view list, bool limits);

/// The domain of a place for mail, in lower case.
std::string domain_of(const Destination& destination);

}  // namespace posthorn::aggregate
