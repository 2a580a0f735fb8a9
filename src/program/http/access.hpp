// http/access.hpp: who may ask, under which name, and who may change something. Pure.
// Client   inside the list of clients; of a Unix socket whoever could open it.
// Host     one of the list of hosts, or the address that the connection was made to: a web page whose name was made to lead here (DNS rebinding) is not
//          answered. On a Unix socket, where no browser comes, it does not count.
// Token    "Authorization: Bearer TOKEN", compared in constant time.
#pragma once

#include "base/error.hpp"
#include "config/list.hpp"
#include "http/message.hpp"
#include "net/address.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::http {

/// What this is called in the configuration, for errors and answers.
struct AccessWords {
    std::string_view clients, hosts, token_file;  // parameters: "admin_clients"
    std::string_view without_token;  // "nothing can be changed"
};

class Access {
public:
    static constexpr std::size_t shortest_token = 16, longest_token_file = 4096;

    /// The words outlive it. Error: a member of the clients that is no network, of the hosts that is no name.
    static Result<Access> make(const AccessWords& words, const config::List& clients, const config::List& hosts);

    /// The content of the file with the token, or more of it than longest_token_file. Error: too short or too long, or not printable; then there is none.
    /// Empty: there is none.
    Result<void> set_token(std::string_view content);
    bool has_token() const { return !token_.empty(); }

    const AccessWords& words() const { return words_; }
    bool admits(const net::Endpoint& client) const;
    /// None: it may be answered. Else why not.
    std::optional<Answer> refuses_host(const Request& request, const net::Endpoint& local) const;
    /// The same of a request that needs the token.
    std::optional<Answer> refuses_token(const Request& request) const;

private:
    struct Rule {
        net::Network network;
        bool negated = false;
    };
    AccessWords words_;
    std::vector<Rule> clients_;
    std::vector<std::string> hosts_;  // in lower case
    std::string token_;
};

}  // namespace posthorn::http
