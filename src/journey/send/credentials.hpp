// send/credentials.hpp: what send asks about who it is, and what it remembers of servers that would not believe it.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "sasl/credentials.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::send {

/// smtp_sasl_password_maps and smtp_sasl_mechanism_filter. Values are "user:password"; none: we are strangers there. An Error: try later.
class Passwords {
public:
    virtual ~Passwords() = default;
    /// smtp_sender_dependent_authentication: by the whole address, without its extension, by "@domain".
    virtual awaitable<Result<std::optional<std::string>>> by_sender(std::string sender) = 0;
    /// By the server's name, then by the next hop as it is written in the configuration.
    virtual awaitable<Result<std::optional<std::string>>> by_server(std::string host, std::string next_hop) = 0;
    /// Does the filter let this mechanism (upper case) through?
    virtual awaitable<Result<bool>> allows(std::string mechanism) = 0;
};

/// smtp_sasl_auth_cache_name: a server that has refused a name and its password for good is not asked again with the same ones, for a while: some lock
/// an account out. For the life of the process, in its memory: a delivery process writes no files.
class AuthFailures {
public:
    explicit AuthFailures(const Clock& clock) : clock_(clock) {}

    struct Failure {
        Failure(std::string code, std::string what) : status(std::move(code)), said(std::move(what)) {}
        std::string status;  // "5.7.8"
        std::string said;  // "535 5.7.8 ...", as logged
        SteadyTime when{};
    };
    const Failure* find(std::string_view host, const sasl::Credentials& credentials, std::chrono::seconds age);
    void keep(std::string_view host, const sasl::Credentials& credentials, Failure failure);

private:
    const Clock& clock_;
    std::map<std::string, Failure, std::less<>> failures_;  // by host, name and digest of the password
};

}  // namespace posthorn::send
