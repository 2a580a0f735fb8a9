// policy/service.hpp: a client of one policy server.                                               SMTPD_POLICY_README
// Protocol     a request is "name=value" lines and an empty line; the reply is one "action=..." line and an empty line. One request at a
//              time on a connection, any number one after the other.
// Connections  kept for the next request until max_idle or max_ttl; as many as there are requests at the same time, at most most_connections,
//              beyond which requests wait for one.
// Failures     an attempt that fails is repeated after retry_delay, try_limit attempts in all. A kept connection that the server has
//              closed meanwhile is no failure: the request goes to a fresh one at once.
// Ownership    requests under way keep what they need; who destroys the service ends its idle connections.
#pragma once

#include "async/async.hpp"
#include "receive/outside.hpp"
#include "receive/policy/service_spec.hpp"

#include <functional>
#include <memory>
#include <string>

namespace posthorn::receive::policy {

class Service {
public:
    static constexpr std::size_t most_connections = 100;

    Service(Executor executor, ServiceSpec spec, Names& names);
    Service(Service&&) = delete;
    ~Service();

    const ServiceSpec& spec() const;
    /// The value of "action=". `request` ends with its empty line. `warn` is told each failure, in Postfix's words.
    awaitable<Result<std::string>> ask(std::string request, std::function<void(std::string)> warn);
    std::size_t idle_connections() const;

    struct Core;

private:
    static awaitable<Result<std::string>> attempts(std::shared_ptr<Core> core, std::string request, std::function<void(std::string)> warn);
    std::shared_ptr<Core> core_;
};

/// The action in a whole reply (with its empty line); an Error where there is none.
Result<std::string> action_of(std::string_view reply);

}  // namespace posthorn::receive::policy
