// receive/client_name.hpp: the name of a client, believed only where it leads back to the address.
#pragma once

#include "observe/log.hpp"
#include "receive/outside.hpp"

#include <string>

namespace posthorn::receive {

struct ClientName {
    std::string name = "unknown";              // confirmed, or "unknown"
    std::string reverse_name = "unknown";      // PTR, confirmed or not
    bool name_later = false, reverse_name_later = false;             // the name service could not say it now
};

/// Logs a name that does not lead back.
awaitable<ClientName> look_up_client(Names& names, std::string address, observe::Log log);

}  // namespace posthorn::receive
