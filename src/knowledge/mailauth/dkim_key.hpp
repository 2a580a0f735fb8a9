// mailauth/dkim_key.hpp: the record of a public key, SELECTOR._domainkey.DOMAIN TXT.                         RFC 6376 3.6.1, RFC 8463 4
// Errors   what is wrong with it, fit for a reason: whoever signed cannot be verified (permerror).
// Pure. Trust: none.
#pragma once

#include "tls/signing_key.hpp"

#include <string>
#include <string_view>

namespace posthorn::mailauth {

struct DkimKey {
    tls::SigningKey::Kind kind = tls::SigningKey::Kind::rsa;      // k=
    std::string octets;                 // p=; empty: the key was withdrawn
    bool sha256 = true;                 // h= allows it
    bool for_mail = true;               // s= allows it
    bool testing = false;               // t=y: a signature that fails is none
    bool same_domain = false;           // t=s: i= is of d= itself, not of a domain below it

    static Result<DkimKey> parse(std::string_view record);
    /// Is a key of this kind as long as it has to be (RFC 8301 3.2), and no longer than is worth the time?
    bool is_fit(int bits) const;
};

}  // namespace posthorn::mailauth
