// tables/keys.hpp: the order in which an address or a domain is looked up.    virtual(5), transport(5), access(5)
// Address  user+extension@domain, user@domain, then for our own domains user+extension and user, then @domain.
// Domain   the name, then its parents: ".parent" or, where parent_domain_matches_subdomains names the parameter, "parent".
// Units    addresses are in internal form (no quotes), as envelopes have them; keys with special local parts are asked in the
//          quoted form, as the tables have them.
#pragma once

#include "base/error.hpp"
#include "tables/lookups.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tables {

struct AddressParts {
    std::string_view local, domain;   // domain empty: there is no '@'
    bool has_domain = false;
};
AddressParts split_address(std::string_view address);

struct Delimiter {
    std::string characters;           // recipient_delimiter: a set
    bool owner_request_special = true;
    std::string double_bounce = "double-bounce";
};

/// The position of the delimiter in a local part that has an extension; npos where it has none: no delimiter in it, an empty user,
/// postmaster, mailer-daemon, double-bounce, and with '-' owner-list and list-request.
std::size_t extension_at(std::string_view local, const Delimiter& delimiter);

/// The local part as RFC 5321 writes it: quoted where it is no dot-string.
std::string quote_local(std::string_view local);
std::string quote_address(std::string_view address);

/// name, then parents: with `parent_style` "b.c", else ".b.c". Views into `domain`.
std::vector<std::string_view> domain_keys(std::string_view domain, bool parent_style);

/// Is this one of our own domains: myorigin, mydestination, an address of inet_interfaces or proxy_interfaces?
class LocalDomains {
public:
    virtual ~LocalDomains() = default;
    virtual Result<bool> local(Lookups& lookups, std::string_view domain) const = 0;
};

}  // namespace posthorn::tables
