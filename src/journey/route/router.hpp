// route/router.hpp: the decision, behind the interfaces by which other stations ask.
#pragma once

#include "route/resolve.hpp"

#include <functional>

namespace posthorn::route {

class Router final : public handoff::Router, public handoff::AddressClasses {
public:
    /// One with Purpose::probe asks by the address_verify_ parameters.
    Router(const Options& options, Resolver::Purpose purpose, tables::Tables& tables) : resolver_(options, purpose, tables) {}

    awaitable<Result<std::vector<handoff::Route>>> route(std::string sender, std::vector<std::string> addresses) override;
    /// Of mail that a filter gets first ("transport:nexthop").
    awaitable<Result<std::vector<handoff::Route>>> route_to_filter(std::string filter, std::vector<std::string> addresses);
    awaitable<Result<bool>> in_mynetworks(std::string name, std::string address) override;
    awaitable<Result<handoff::AddressStanding>> standing(std::string address) override;
    bool own_address(std::string_view address) const override { return resolver_.own_address(address); }
    bool in_memory() const override { return resolver_.in_memory(); }

private:
    /// `one` gives the route of an address, but for its schedule.
    awaitable<Result<std::vector<handoff::Route>>> routes(std::vector<std::string> addresses,
                                                          std::function<Result<handoff::Route>(Lookups&, const std::string&)> one);
    Result<handoff::Route> scheduled(Lookups& lookups, handoff::Route route) const;

    Resolver resolver_;
};

}  // namespace posthorn::route
