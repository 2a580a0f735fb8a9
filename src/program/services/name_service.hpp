// services/name_service.hpp: what the stations ask of names, answered by wire/dns.
#pragma once

#include "dns/resolver.hpp"
#include "receive/outside.hpp"

#include <string>
#include <vector>

namespace posthorn::services {

/// What a resolver reads while it runs: a service that asks names may read these.
std::vector<std::string> name_service_files();

/// receive's questions: names of clients, and whether a domain takes mail.
class ClientNames final : public receive::Names {
public:
    explicit ClientNames(dns::Resolver& resolver) : resolver_(resolver) {}
    awaitable<Result<std::vector<std::string>>> names_of(std::string address) override;
    awaitable<Result<std::vector<std::string>>> addresses_of(std::string name) override;
    awaitable<Result<receive::MailHost>> mail_host(std::string domain) override;

private:
    dns::Resolver& resolver_;
};

}  // namespace posthorn::services
