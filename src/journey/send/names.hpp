// send/names.hpp: what send asks of the name service. Tests answer from a table, the service from wire/dns.
#pragma once

#include "async/async.hpp"
#include "dns/record.hpp"
#include "dns/resolver.hpp"

namespace posthorn::send {

class Names {
public:
    virtual ~Names() = default;
    virtual awaitable<dns::Answer> mx(std::string domain) = 0;
    virtual awaitable<dns::Addresses> addresses(std::string host, dns::Families families) = 0;
};

class DnsNames final : public Names {
public:
    explicit DnsNames(dns::Resolver& resolver) : resolver_(resolver) {}
    awaitable<dns::Answer> mx(std::string domain) override { return resolver_.mx(std::move(domain)); }
    awaitable<dns::Addresses> addresses(std::string host, dns::Families families) override { return resolver_.addresses(std::move(host), families); }

private:
    dns::Resolver& resolver_;
};

}  // namespace posthorn::send
