// tables/login_senders.hpp: which senders a user of this machine may say.                          postconf(5): local_login_sender_maps
// Asked    with the login ("uid:1000" where it has no name); a result is a list of senders.
// Senders  an address, "@domain", "*" (any), and what empty_address_local_login_sender_maps_lookup_key has for the empty one. Letter case and the
//          extension of the sender do not matter.
// Errors   of the tables: not known now.
#pragma once

#include "tables/maps.hpp"

#include <string>
#include <string_view>

namespace posthorn::tables {

class LoginSenders {
public:
    LoginSenders(std::string_view list, std::string null_sender, Delimiter delimiter, Tables& tables);
    /// Nothing needs to be asked: anybody may say anything, as by default.
    static bool allows_all(std::string_view list) { return list == "static:*"; }
    awaitable<Result<bool>> allows(std::string login, std::string sender) const;

private:
    bool fits(std::string_view pattern, std::string_view sender) const;

    Maps maps_;
    std::string null_sender_;
    Delimiter delimiter_;
};

}  // namespace posthorn::tables
