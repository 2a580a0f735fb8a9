// services/startup.hpp: what services share before they are confined.
#pragma once

#include "base/error.hpp"

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

/// What a resolver reads while it runs: a service that asks names may read these.
inline std::vector<std::string> name_service_files() { return {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"}; }

}  // namespace posthorn::services
