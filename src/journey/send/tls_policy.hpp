// send/tls_policy.hpp: what is asked of TLS with a next hop.                  postconf(5): smtp_tls_policy_maps, smtp_tls_security_level; TLS_README
// Lookup   the next hop as the configuration has it, "[host]:port" included; where that is a domain, then its parents as ".example.com".
//          An IDN counts in both spellings: who writes to it chooses one, and must not choose the policy with it.
// Value    "level name=value ...", separated by blanks or commas; letter case of levels and names does not matter. "{ name = value }" where the
//          value has such in it.
// Errors   what cannot be understood, a table that cannot be asked: mail for that next hop waits. Nothing is sent with less than was asked for.
// Pure     but for find_tls_policy(), which asks the tables.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::send {

struct Destination;
struct Options;
struct Surroundings;

/// In the order of what they ask for. dane: where DNSSEC and TLSA records are (RFC 7672), else may; dane_only: else none at all.
enum class TlsLevel : std::uint8_t { none, may, encrypt, fingerprint, dane, dane_only, verify, secure };

/// TLS or nothing.
constexpr bool required(TlsLevel level) { return level >= TlsLevel::encrypt; }
/// And the peer has to show who it is.
constexpr bool authenticated(TlsLevel level) { return level >= TlsLevel::fingerprint; }

std::string_view level_name(TlsLevel level);
std::optional<TlsLevel> level_of(std::string_view word);

/// main.cf's words for what a level leaves open.
struct TlsRules {
    std::vector<std::string> verify_names{"hostname"}, secure_names{"nexthop", "dot-nexthop"};
    std::vector<std::string> fingerprints;
    std::vector<std::string> anchor_files;      // for verify and secure, instead of the authorities
    std::string server_name;                    // SNI: "hostname", "nexthop", a name, or none
    TlsLevel insecure_mx = TlsLevel::dane;      // level dane, and the MX records are not of a signed zone: may, encrypt or dane
    bool insecure_host_tlsa = false;            // ask for TLSA records of hosts in unsigned zones too
    bool sts_patterns = true;                   // hosts are held against the patterns of a policy of MTA-STS, and certificates against their names
    std::string no_dane;                        // why DANE cannot be done here; empty: it can
};

/// What a domain asks of the hosts that take its mail (RFC 8461), as a table of policies tells it, or as it told us.
struct StsRules {
    enum class Use : std::uint8_t { by_level, testing, enforce };   // as a table's entry has it; of what it told us: is it in force?
    std::string domain;
    std::vector<std::string> patterns;          // "mx.example.test"; "*.example.test": one label below it
    std::string failure;                        // why it cannot be met: "sts-webpki-invalid"
    std::vector<std::string> strings;           // the policy's lines, for reports
    Use use = Use::by_level;
};

struct TlsPolicy {
    TlsLevel level = TlsLevel::none;
    std::optional<StsRules> sts;                // of a table: holds at the levels verify and secure alone, a policy in testing is given as "may"
    std::string sts_fault;                      // its domain has a policy of MTA-STS that could not be had: why, for reports
    // None: main.cf's.
    std::optional<std::string> protocols, ciphers, exclude, server_name;
    std::vector<std::string> match, anchor_files;
    std::optional<bool> reuse;                  // no: a session serves what comes while it works, and is not kept
};

/// A table's value. `remarks`: what is to be warned of, although it decides nothing. Error: what is wrong, in Postfix's words.
Result<TlsPolicy> parse_tls_policy(std::string_view value, std::vector<std::string>& remarks);

/// What is looked up for a next hop, in this order.
std::vector<std::string> policy_keys(std::string_view next_hop);

struct FoundTlsPolicy {
    std::optional<TlsPolicy> policy;            // none: it cannot be told; what is wrong was logged
    std::string tells_apart;                    // what the tables said: mail with another text goes over other sessions
};
/// The same, and what the domain itself asks by MTA-STS where the tables say nothing of it (sts/README.md).
awaitable<FoundTlsPolicy> find_tls_policy(Destination destination, const Options* options, const Surroundings* around);
/// What the tables say.
awaitable<FoundTlsPolicy> find_tls_policy(std::string next_hop, const Options* options, const Surroundings* around);

}  // namespace posthorn::send
