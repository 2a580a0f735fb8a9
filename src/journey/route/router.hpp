// route/router.hpp: the decision, behind the interfaces by which other stations ask.
#pragma once

#include "route/resolve.hpp"

namespace posthorn::route {

class Router final : public handoff::Router, public handoff::AddressClasses {
public:
    /// One with Purpose::probe asks by the address_verify_ parameters.
    Router(const Options& options, Resolver::Purpose purpose, tables::Tables& tables) : resolver_(options, purpose, tables) {}

    awaitable<Result<std::vector<handoff::Route>>> route(std::string sender, std::vector<std::string> addresses) override;
    awaitable<Result<bool>> in_mynetworks(std::string name, std::string address) override;
    awaitable<Result<handoff::AddressStanding>> standing(std::string address) override;
    bool own_address(std::string_view address) const override { return resolver_.own_address(address); }
    bool in_memory() const override { return resolver_.in_memory(); }

private:
    Resolver resolver_;
};

}  // namespace posthorn::route
