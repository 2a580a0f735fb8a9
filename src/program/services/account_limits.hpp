// services/account_limits.hpp: account_limit_maps, asked by who has the mail of an account in hand: smtpd and resolve.
// Keys     of a login: its name, "@" with its domain, "login:". Of a user of this machine: the name ("uid:33" where there is none), "local:".
// Errors   of the tables: not known now, and the mail waits.
#pragma once

#include "tables/maps.hpp"

#include <string>
#include <string_view>

namespace posthorn::services {

class AccountLimits {
public:
    AccountLimits(std::string_view list, tables::Tables& tables);
    bool any() const { return !maps_.empty(); }
    /// The words; empty: none.
    awaitable<Result<std::string>> of_login(std::string name) const;
    awaitable<Result<std::string>> of_user(std::string name) const;

private:
    awaitable<Result<std::string>> first_of(std::vector<std::string> keys) const;

    tables::Maps maps_;
};

}  // namespace posthorn::services
