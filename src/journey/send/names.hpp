// send/names.hpp: what send asks of the name service. Tests answer from a table, the service from wire/dns.
#pragma once

#include "async/async.hpp"
#include "dns/record.hpp"
#include "dns/resolver.hpp"
#include "observe/log.hpp"
#include "send/lookup.hpp"

namespace posthorn::send {

class Names {
public:
    virtual ~Names() = default;
    virtual awaitable<dns::Answer> mx(std::string domain) = 0;
    virtual awaitable<dns::Addresses> addresses(std::string host, dns::Families families) = 0;
    /// Records of other types: SRV, TLSA, CNAME.
    virtual awaitable<dns::Answer> query(std::string name, dns::Type type) = 0;
};

class DnsNames final : public Names {
public:
    explicit DnsNames(dns::Resolver& resolver) : resolver_(resolver) {}
    awaitable<dns::Answer> mx(std::string domain) override { return resolver_.mx(std::move(domain)); }
    awaitable<dns::Addresses> addresses(std::string host, dns::Families families) override { return resolver_.addresses(std::move(host), families); }
    awaitable<dns::Answer> query(std::string name, dns::Type type) override { return resolver_.query(std::move(name), type); }

private:
    dns::Resolver& resolver_;
};

/// smtp_dns_reply_filter: answers less the records that the tables say to ignore. Asked with "name ttl IN type preference value", names with
/// a final dot, the preference of MX alone, for SRV its three numbers. An answer of which nothing is left, or that cannot be judged, is a temporary failure.
class FilteredNames final : public Names {
public:
    FilteredNames(Names& names, Lookup& filter, observe::Log log) : names_(names), filter_(filter), log_(std::move(log)) {}
    awaitable<dns::Answer> mx(std::string domain) override;
    awaitable<dns::Addresses> addresses(std::string host, dns::Families families) override;
    awaitable<dns::Answer> query(std::string name, dns::Type type) override;

private:
    awaitable<dns::Answer> less_ignored(std::string asked, dns::Answer answer);
    awaitable<Result<bool>> ignored(std::string line);

    Names& names_;
    Lookup& filter_;
    observe::Log log_;
};

}  // namespace posthorn::send
