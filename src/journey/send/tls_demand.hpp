// send/tls_demand.hpp: what a session with one host has to be, made of the policy of its next hop, of main.cf, and of the DNS.
// MTA-STS  what a domain told us holds where DANE does not vouch for the host. In testing the demand stays as it is, and says what would be missing.
// DANE     RFC 7672: TLSA records are asked for where the host's address is of a signed zone, at the name its CNAMEs lead to, then at its own.
//          Records that cannot be used still ask for encryption; a failing lookup makes the host wait: it is no word that there are none.
#pragma once

#include "base/error.hpp"
#include "send/tls_policy.hpp"
#include "tls/dane.hpp"

#include <string>
#include <vector>

namespace posthorn::send {

struct Host;

struct TlsDemand {
    TlsLevel level = TlsLevel::none;            // what holds for this host: never dane_only
    TlsLevel asked = TlsLevel::none;            // what the policy of its next hop has
    bool half_dane = false;                     // dane, although the MX records are not of a signed zone
    std::optional<std::string> protocols, ciphers, exclude;
    std::vector<std::string> names;             // one of them has to be in the certificate; ".example.test": any below it
    std::vector<std::string> fingerprints;
    std::vector<tls::TlsaRecord> anchors;       // what vouches for it instead of the authorities
    std::string server_name;
    bool keep_shown = false;                    // what the server shows is looked at again (tls_trial.hpp)
    std::optional<StsRules> sts;                // what the domain asks, where that counts: for reports
    std::string sts_fault;                      // what it asks could not be had: likewise
    std::string tested_domain;                  // its policy of MTA-STS is in testing: what it would keep back is to be logged
    std::string tested_unmet;                   // that, where it is known before a connection
};

/// RFC 8461 4.1: the policy can be met, and this is one of its hosts.
bool is_met_by(const StsRules& sts, const Host& host);

/// Error (4.7.5): the host must not be talked to; what is wrong with the configuration was logged.
awaitable<Result<TlsDemand>> tls_demand(Host host, TlsPolicy policy, const Options* options, const Surroundings* around);

}  // namespace posthorn::send
