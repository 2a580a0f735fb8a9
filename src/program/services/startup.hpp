// services/startup.hpp: what services share before they are confined.
#pragma once

#include "base/error.hpp"
#include "process/service.hpp"
#include "tls/params.hpp"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::services {

/// The value, or an exception: for what must be right before a service starts.
template <class T>
T at_start(Result<T> result)
{
    if (!result)
        throw std::runtime_error(result.error().text());
    return *std::move(result);
}

/// TLS, or none: a key that is missing or does not fit its certificate takes no port and no delivery out of service. Who insists on TLS is
/// refused or deferred meanwhile: until a reload, at smtpd until the files are right (tls_files.hpp). A reload with such a key is refused: what
/// runs has TLS, and keeps it.
template <class T>
T tls_at_start(Result<T> result, process::Service& service)
{
    if (result || service.start_record().trial() != 0)
        return at_start(std::move(result));
    service.log().warning("{}: disabling TLS support", result.error().text());
    return nullptr;
}

/// For HTTPS: the authorities that the world knows, and the site's own (RFC 8461 3.3).
tls::Options tls_for_https(const config::Snapshot& snapshot);

/// What a resolver reads while it runs: a service that asks names may read these.
inline std::vector<std::string> name_service_files() { return {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"}; }

}  // namespace posthorn::services
