#include "route/router.hpp"

namespace posthorn::route {

awaitable<Result<std::vector<handoff::Route>>> Router::route(std::string sender, std::vector<std::string> addresses)
{
    co_return co_await tables::settle(
        [this, sender = std::move(sender), addresses = std::move(addresses)](Lookups& lookups) -> Result<std::vector<handoff::Route>> {
            std::vector<handoff::Route> routes;
            std::optional<Error> failed;
            routes.reserve(addresses.size());
            for (const std::string& address : addresses) {
                auto target = resolver_.resolve(lookups, sender, address);
                if (!target) {
                    failed = target.error();
                    if (!lookups.waiting())
                        return *failed;
                    continue;                                        // the questions of all addresses are fetched together
                }
                handoff::Route route;
                route.set_site(site_key(target->transport, target->nexthop));
                route.set_transport(std::move(target->transport));
                route.set_nexthop(std::move(target->nexthop));
                route.set_address(std::move(target->address));
                routes.push_back(std::move(route));
            }
            if (failed)
                return *failed;
            return routes;
        });
}

awaitable<Result<bool>> Router::in_mynetworks(std::string name, std::string address)
{
    co_return co_await tables::settle(
        [this, name = std::move(name), address = std::move(address)](Lookups& lookups) { return resolver_.in_mynetworks(lookups, name, address); });
}

awaitable<Result<handoff::AddressStanding>> Router::standing(std::string address)
{
    co_return co_await tables::settle([this, address = std::move(address)](Lookups& lookups) { return resolver_.standing(lookups, address); });
}

}  // namespace posthorn::route
