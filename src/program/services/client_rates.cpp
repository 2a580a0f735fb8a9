#include "services/client_rates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <limits>

namespace posthorn::services {

namespace {

constexpr std::size_t sweep_from = 1024;          // clients beyond which old ones are looked for, each time their number has doubled

std::string at_time(WallTime when)
{
    const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count();
    std::tm parts{};
    ::localtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%b %e %H:%M:%S", &parts)};
}

void increase(std::uint32_t& count)
{
    if (count < std::numeric_limits<std::int32_t>::max())
        ++count;
}

}  // namespace

handoff::ClientCount ClientRates::heard(const void* owner, const handoff::ClientEvent& event)
{
    using handoff::ClientEvent;
    const SteadyTime now = clock_.steady();
    handoff::ClientCount told;
    auto found = clients_.find(event.client());
    if (event.what() == ClientEvent::DISCONNECT) {
        auto& open = open_[owner];
        if (const auto mine = open.find(event.client()); mine != open.end()) {
            if (--mine->second == 0)
                open.erase(mine);
            disconnect(event.client(), 1);
        }
        return told;
    }
    if (found == clients_.end()) {
        if (event.what() == ClientEvent::ASK_TLS)
            return told;
        if (clients_.size() >= sweep_at_) {
            forget_old();
            sweep_at_ = std::max(sweep_from, 2 * clients_.size());
        }
        found = clients_.emplace(event.client(), Client{now, 0, {}}).first;
        cache_.see(static_cast<std::uint32_t>(clients_.size()), "", clock_.wall());
    }
    Client& client = found->second;
    if (now - client.begun > unit_) {
        client.begun = now;
        client.counts = {};
    }
    const auto count = [&](Kind kind) {
        increase(client.counts[kind]);
        rates_[kind].see(client.counts[kind], found->first, clock_.wall());
        told.set_rate(client.counts[kind]);
    };
    switch (event.what()) {
    case ClientEvent::CONNECT:
        ++client.connections;
        ++open_[owner][found->first];
        connections_.see(client.connections, found->first, clock_.wall());
        count(connect);
        break;
    case ClientEvent::MAIL: count(mail); break;
    case ClientEvent::RCPT: count(rcpt); break;
    case ClientEvent::NEW_TLS: count(tls); break;
    case ClientEvent::AUTH: count(auth); break;
    case ClientEvent::ASK_TLS: told.set_rate(client.counts[tls]); break;
    default: break;
    }
    told.set_connections(client.connections);
    return told;
}

void ClientRates::disconnect(const std::string& name, std::uint32_t count)
{
    if (const auto client = clients_.find(name); client != clients_.end())
        client->second.connections -= std::min(count, client->second.connections);
}

void ClientRates::gone(const void* owner)
{
    const auto found = open_.find(owner);
    if (found == open_.end())
        return;
    for (const auto& [name, count] : found->second)
        disconnect(name, count);
    open_.erase(found);
}

void ClientRates::forget_old()
{
    const SteadyTime now = clock_.steady();
    std::erase_if(clients_, [&](const auto& entry) { return entry.second.connections == 0 && now - entry.second.begun > unit_; });
}

void ClientRates::report()
{
    static constexpr std::array<std::string_view, kinds> names{"connection", "message", "recipient", "newtls", "auth"};
    for (std::size_t kind = 0; kind < kinds; ++kind) {
        const Highest& highest = rates_[kind];
        if (highest.value > 0)
            log_.info("statistics: max {} rate {}/{}s for ({}) at {}", names[kind], highest.value, unit_.count(), highest.client,
                      at_time(highest.when));
        if (kind == connect && connections_.value > 0)
            log_.info("statistics: max connection count {} for ({}) at {}", connections_.value, connections_.client, at_time(connections_.when));
    }
    if (cache_.value > 0)
        log_.info("statistics: max cache size {} at {}", cache_.value, at_time(cache_.when));
    rates_ = {};
    connections_ = cache_ = {};
    forget_old();
}

}  // namespace posthorn::services
