#include "route/router.hpp"

namespace posthorn::route {

awaitable<Result<std::vector<handoff::Route>>> Router::routes(std::vector<std::string> addresses,
                                                              std::function<Result<handoff::Route>(Lookups&, const std::string&)> one)
{
    co_return co_await tables::settle(
        [this, one = std::move(one), addresses = std::move(addresses)](Lookups& lookups) -> Result<std::vector<handoff::Route>> {
            std::vector<handoff::Route> routes;
            std::optional<Error> failed;
            routes.reserve(addresses.size());
            for (const std::string& address : addresses) {
                auto route = one(lookups, address);
                if (route)
                    route = scheduled(lookups, *std::move(route));
                if (!route) {
                    failed = route.error();
                    if (!lookups.waiting())
                        return *failed;
                    continue;                                        // the questions of all addresses are fetched together
                }
                routes.push_back(*std::move(route));
            }
            if (failed)
                return *failed;
            return routes;
        });
}

Result<handoff::Route> Router::scheduled(Lookups& lookups, handoff::Route route) const
{
    TRY(std::string schedule, resolver_.retry_schedule(lookups, route.address(), route.transport()));
    if (!schedule.empty())
        route.set_retry(std::move(schedule));
    return route;
}

awaitable<Result<std::vector<handoff::Route>>> Router::route(std::string sender, std::vector<std::string> addresses)
{
    return routes(std::move(addresses), [this, sender = std::move(sender)](Lookups& lookups, const std::string& address) -> Result<handoff::Route> {
        TRY(Target target, resolver_.resolve(lookups, sender, address));
        handoff::Route route;
        route.set_site(site_key(target.transport, target.nexthop));
        route.set_transport(std::move(target.transport));
        route.set_nexthop(std::move(target.nexthop));
        route.set_address(std::move(target.address));
        return route;
    });
}

awaitable<Result<std::vector<handoff::Route>>> Router::route_to_filter(std::string filter, std::vector<std::string> addresses)
{
    return routes(std::move(addresses), [this, filter = std::move(filter)](Lookups&, const std::string& address) -> Result<handoff::Route> {
        return to_filter(filter, address, resolver_.options());
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
