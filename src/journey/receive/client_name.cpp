#include "receive/client_name.hpp"

#include "net/address.hpp"
#include "smtp/path.hpp"

#include <algorithm>

namespace posthorn::receive {

awaitable<ClientName> look_up_client(Names& names, std::string address, observe::Log log)
{
    ClientName found;
    const auto said = co_await names.names_of(address);
    found.name_later = found.reverse_name_later = !said;
    if (!said || said->empty() || !smtp::is_valid_hostname(said->front()))
        co_return found;
    const std::string& name = found.reverse_name = said->front();
    const auto addresses = co_await names.host_addresses(name);
    found.name_later = !addresses;
    const auto own = net::IpAddress::parse(address);
    const auto same = [&](const std::string& text) { return net::IpAddress::parse(text) == own; };
    if (addresses && std::ranges::any_of(*addresses, same))
        found.name = name;
    else if (addresses && !addresses->empty())
        log.warning("hostname {} does not resolve to address {}", name, address);
    else
        log.warning("hostname {} does not resolve to address {}: {}", name, address,
                    addresses ? "Name or service not known" : addresses.error().text());
    co_return found;
}

}  // namespace posthorn::receive
