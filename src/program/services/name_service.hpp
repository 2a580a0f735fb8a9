// services/name_service.hpp: how this host asks for names, and which addresses are its own.
#pragma once

#include "config/snapshot.hpp"
#include "dns/resolver.hpp"
#include "net/address.hpp"

#include <string>
#include <vector>

namespace posthorn::services {

/// dns_servers, smtp_host_lookup, smtp_dns_support_level and /etc/resolv.conf, read before the process is confined.
dns::Options resolver_options(const config::Snapshot& snapshot);

/// What a resolver reads while it runs.
std::vector<std::string> name_service_files();

/// inet_interfaces and proxy_interfaces: a mail exchanger with one of these is ourselves (RFC 5321 5.1).
std::vector<net::IpAddress> own_addresses(const config::Snapshot& snapshot);

}  // namespace posthorn::services
