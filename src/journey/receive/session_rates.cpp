// smtpd_client_*_limit: what one client may do, counted over all processes.                                      postconf(5), anvil(8)
#include "receive/session.hpp"

#include <fmt/format.h>

namespace posthorn::receive {

/// Who counts as one client: the address, or its network.
std::string Session::rate_key() const
{
    const ClientLimits& limits = core_.options.client;
    const auto address = net::IpAddress::parse(facts_.client_address);
    const unsigned prefix = !address ? 0 : address->is_v6() ? limits.v6_prefix : limits.v4_prefix;
    const bool whole = !address || prefix >= (address->is_v6() ? 128U : 32U);
    return fmt::format("{}:{}", limits.service, whole ? facts_.client_address : address->network(prefix));
}

awaitable<bool> Session::may_connect()
{
    const ClientLimits& limits = core_.options.client;
    const auto exempt = co_await core_.unlimited_clients.ask(facts_.client_name, facts_.client_address);
    if (exempt && *exempt)
        co_return true;
    const auto count = co_await core_.outside.rates->count(Rates::Event::connect, rate_key());
    if (!count)                                   // memory is away: mail goes on without limits
        co_return true;
    counted_ = true;
    const auto refuse = [&](std::string_view what, std::uint32_t number) {
        say(fmt::format("421 4.7.0 {} Error: too many connections from {}", core_.options.myhostname, facts_.client_address));
        core_.outside.log.warning("{} limit exceeded: {} from {} for service {}", what, number, namaddr(), limits.service);
        end_ = End::hangup;
        return false;
    };
    if (limits.connections != 0 && count->connections > limits.connections)
        co_return refuse("Connection concurrency", count->connections);
    if (limits.connection_rate != 0 && count->rate > limits.connection_rate)
        co_return refuse("Connection rate", count->rate);
    co_return true;
}

/// One event more; true: it is one too many, and the log says so.
awaitable<bool> Session::exceeds(Rates::Event event, std::uint32_t limit, std::string_view what)
{
    if (!counted_ || limit == 0)
        co_return false;
    const auto count = co_await core_.outside.rates->count(event, rate_key());
    if (!count || count->rate <= limit)
        co_return false;
    core_.outside.log.warning("{} limit exceeded: {} from {} for service {}", what, count->rate, namaddr(), core_.options.client.service);
    co_return true;
}

}  // namespace posthorn::receive
