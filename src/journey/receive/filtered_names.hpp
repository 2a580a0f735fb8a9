// receive/filtered_names.hpp: smtpd_dns_reply_filter: tables that are asked with each record of an answer.                      postconf(5)
// Text     "name. ttl IN type value", names with their final dot.
// Answers  what IGNORE takes away is not there; where it takes all, neither is the name's record. A table that fails: try later.
// Not for  names and addresses of clients, and hosts that the configuration names: those are asked of the system's resolver.
#pragma once

#include "observe/log.hpp"
#include "receive/outside.hpp"
#include "tables/maps.hpp"

namespace posthorn::receive {

class FilteredNames final : public Names {
public:
    /// Both outlive it.
    FilteredNames(Names& names, const tables::Maps& filter, observe::Log log) : names_(names), filter_(filter), log_(std::move(log)) {}

    awaitable<Result<std::vector<std::string>>> names_of(std::string address) override { return names_.names_of(std::move(address)); }
    awaitable<Result<std::vector<std::string>>> addresses_of(std::string name) override { return names_.addresses_of(std::move(name)); }
    awaitable<Result<std::vector<std::string>>> host_addresses(std::string name) override { return names_.host_addresses(std::move(name)); }
    awaitable<Result<MailHost>> mail_host(std::string domain) override;
    awaitable<dns::Answer> records(std::string name, dns::Type type) override;

private:
    awaitable<Result<bool>> ignored(std::string line) const;

    Names& names_;
    const tables::Maps& filter_;
    observe::Log log_;
};

}  // namespace posthorn::receive
