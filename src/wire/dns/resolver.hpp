// dns/resolver.hpp: questions to the DNS. The resolver library (libunbound) lives behind it and nowhere else.
// Threads  the library works on a thread of its own, which the first question starts (no fork, no child process): make it in the process
//          that uses it, before giving up powers, and ask when they are given up. Everything here happens on the loop.
// Answers  never an Error: a failed lookup is an Answer with its status. Simultaneous questions for one (name, type) share one
//          lookup; answers are cached within CacheLimits.
// Names    ASCII (dns/idna.hpp makes it so); what is no domain name is answered nxdomain without asking.
// Changes  another resolv.conf, and a clock that is set back (the library keeps answers by the time of day), start the library anew: what is under
//          way is asked again.
// Unsigned where nothing was ever validated, and what fails is that the name servers pass no signatures on (asked for the keys of the first trust
//          anchor's zone, ten minutes apart), answers are those of unsigned zones, as with Postfix and a name server that does not validate; `remark`
//          is told. Once something was validated, what fails to be is bogus.
// Native   smtp_host_lookup: dns, native (/etc/hosts), in the order written; Postfix's meaning.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "dns/cache.hpp"
#include "dns/record.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::dns {

enum class Lookup { dns, native };
using net::Families;

struct Options {
    /// Empty: those of servers_file. Otherwise each is asked as a recursive server.
    std::vector<net::Endpoint> servers;
    /// Validate (smtp_dns_support_level = dnssec). Without it nothing is secure and nothing bogus.
    bool dnssec = false;
    std::function<void(std::string text)> remark = nullptr;  // that validation is not to be had, and that it is again
    /// DS or DNSKEY lines in master file form; empty: the root's, as IANA publishes them.
    std::vector<std::string> trust_anchors;
    std::vector<Lookup> host_lookup{Lookup::dns};
    std::chrono::milliseconds limit{30'000};  // for one question, retries included
    CacheLimits cache;
    std::size_t record_limit = 100;  // more records of one answer are ignored (Postfix: 100)
    std::string hosts_file = "/etc/hosts", servers_file = "/etc/resolv.conf";
};

struct Addresses {
    Status status = Status::temporary;
    std::vector<net::IpAddress> list;  // v4 and v6 as they were answered
    bool secure = false;  // DNSSEC vouches for all of the list, or for there being none
    bool native = false;  // of a file of this host, not of the DNS
    std::chrono::seconds ttl{0};  // the shortest
    std::string canonical_name;
    std::string reason;
    bool found() const { return status == Status::found; }
};

class Resolver {
public:
    /// Throws at start where the library cannot be set up (bad trust anchor, no memory).
    Resolver(Executor executor, const Clock& clock, Options options = {});
    Resolver(Resolver&&) = delete;
    /// Questions under way are answered as temporary failures first.
    ~Resolver();

    awaitable<Answer> query(std::string name, Type type);
    /// MX records by preference, equal ones as they were answered; a null MX is for is_null_mx(), the root beside others is dropped.
    awaitable<Answer> mx(std::string domain);
    /// Addresses of a host by host_lookup. Both families are asked at the same time. found where either has one; a temporary
    /// failure of one family with nothing from the other is temporary.
    awaitable<Addresses> addresses(std::string host, Families families = Families::both);
    /// PTR names of an address, by host_lookup.
    awaitable<Answer> names(net::IpAddress address);

    struct Counts {
        std::uint64_t questions = 0, from_cache = 0, shared = 0, asked = 0, temporary = 0;
    };
    const Counts& counts() const;
    /// Empties the cache.
    void forget();

private:
    struct Core;
    std::unique_ptr<Core> core_;
};

/// "192.0.2.53", "[2001:db8::53]:5353", "127.0.0.1@5353": one member of dns_servers.
Result<net::Endpoint> parse_server(std::string_view text);

}  // namespace posthorn::dns
