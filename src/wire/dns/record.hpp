// dns/record.hpp: what the DNS says, as values.                     RFC 1035, 7505 (null MX), 2782 (SRV), 6698 (TLSA)
// Names    without the final dot, lower case as far as they are ours to ask; the root is the empty name. Octets that cannot
//          stand in a host name are escaped as \ddd, so that such a name never passes for one.
// Data     one member per type: `host` for MX, PTR, CNAME, SRV; `address` for A and AAAA; `text` for TXT (its strings joined) TLSA (the
//          association data) and DNSKEY (all of it).
#pragma once

#include "base/error.hpp"
#include "net/address.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::dns {

enum class Type : std::uint16_t {
    a = 1,
    ns = 2,
    cname = 5,
    soa = 6,
    ptr = 12,
    mx = 15,
    txt = 16,
    aaaa = 28,
    srv = 33,
    opt = 41,
    rrsig = 46,
    dnskey = 48,
    tlsa = 52
};

/// "MX".
std::string_view type_name(Type type);
std::optional<Type> type_of(std::string_view name);

struct Record {
    Type type = Type::a;
    std::string host;
    net::IpAddress address;
    std::string text;
    std::uint16_t preference = 0;                                     // MX; priority of SRV
    std::uint16_t weight = 0, port = 0;                               // SRV
    std::uint8_t usage = 0, selector = 0, matching = 0;               // TLSA

    bool operator==(const Record&) const = default;
};

/// found      there are records.
/// nodata     the name exists, without records of this type.
/// nxdomain   the name does not exist (or cannot: it is no domain name).
/// temporary  no usable answer: time is up, SERVFAIL, REFUSED. Ask again later.
/// bogus      DNSSEC says that the answer is forged or the zone broken. For mail the same as temporary, and said as such.
enum class Status { found, nodata, nxdomain, temporary, bogus };

struct Answer {
    Status status = Status::temporary;
    std::vector<Record> records;
    std::chrono::seconds ttl{0};
    bool secure = false;                                              // validated by DNSSEC, absence included
    std::string canonical_name;                                       // where CNAMEs led
    std::string reason;                                               // of temporary and bogus

    bool found() const { return status == Status::found; }
    bool transient() const { return status == Status::temporary || status == Status::bogus; }
};

/// "Host not found", "Host found but no data record of requested type", "Host not found, try again": Postfix's words.
std::string_view status_text(Status status);
/// "Host or domain name not found. Name service error for name=N type=MX: Host not found, try again", with the status code
/// that Postfix gives: 5.4.4 for what does not exist, 4.4.3 for what may pass.
Error lookup_error(std::string_view name, Type type, const Answer& answer);

/// "The domain does not accept mail": one MX record, whose host is the root.
bool is_null_mx(const Answer& answer);

/// RDATA in wire form without compression, as a resolver library hands it out. Errors: what is malformed.
Result<Record> parse_rdata(Type type, std::string_view rdata);

/// At most 253 octets in labels of 1 to 63; one dot at the end is allowed. Not a check for host names: "_25._tcp.x" passes.
bool is_queryable(std::string_view name);
/// RFC 1123 host name, underscores tolerated; no empty label, no hyphen at an end, not all digits and dots.
bool is_hostname(std::string_view name);

}  // namespace posthorn::dns
