// sasl/credentials.hpp: a name and the secret that proves it.
#pragma once

#include <string>
#include <string_view>

namespace posthorn::sasl {

struct Credentials {
    Credentials() = default;
    Credentials(std::string name, std::string secret) : username(std::move(name)), password(std::move(secret)) {}
    /// Of a table's value, "user:password", cut at the first `delimiter`; without one the password is empty.
    static Credentials of(std::string_view value, char delimiter = ':')
    {
        const auto at = value.find(delimiter);
        if (at == std::string_view::npos)
            return {std::string(value), {}};
        return {std::string(value.substr(0, at)), std::string(value.substr(at + 1))};
    }

    std::string username, password;         // of XOAUTH2 and OAUTHBEARER the password is the token
    bool say_authzid = false;               // send_cyrus_sasl_authzid: as whom to act, although it is the same name
};

}  // namespace posthorn::sasl
