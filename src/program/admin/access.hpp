// admin/access.hpp: who may ask, under which name, and who may change something. Pure.
// Client   inside admin_clients; of a Unix socket whoever could open it.
// Host     one of admin_hosts, or the address that the connection was made to: a web page whose name was made to lead here (DNS rebinding) is not
//          answered. On a Unix socket, where no browser comes, it does not count.
// Token    "Authorization: Bearer TOKEN", compared in constant time.
#pragma once

#include "admin/http.hpp"
#include "base/error.hpp"
#include "config/list.hpp"
#include "net/address.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::admin {

class Access {
public:
    static constexpr std::size_t shortest_token = 16, longest_token_file = 4096;

    /// Error: a member of admin_clients that is no network.
    static Result<Access> make(const config::List& clients, const config::List& hosts);

    /// The content of admin_token_file, or more of it than longest_token_file. Error: too short or too long, or not printable; then there is none.
    /// Empty: there is none.
    Result<void> set_token(std::string_view content);
    bool has_token() const { return !token_.empty(); }

    bool admits(const net::Endpoint& client) const;
    /// None: it may be answered. Else why not.
    std::optional<Answer> refuses_host(const Request& request, const net::Endpoint& local) const;
    /// The same of a request that changes something.
    std::optional<Answer> refuses_change(const Request& request) const;

private:
    struct Rule {
        net::Network network;
        bool negated = false;
    };
    std::vector<Rule> clients_;
    std::vector<std::string> hosts_;  // in lower case
    std::string token_;
};

}  // namespace posthorn::admin
