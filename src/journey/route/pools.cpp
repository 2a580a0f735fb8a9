#include "route/pools.hpp"

#include "base/strings.hpp"
#include "route/resolve.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace posthorn::route {

namespace {

constexpr std::uint32_t weight_at_most = 1000;

bool is_service_name(std::string_view name)
{
    return !name.empty() && std::ranges::all_of(name, [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

Result<Pools::Member> member_of(std::string_view word)
{
    const std::size_t equals = word.find('=');
    Pools::Member member{std::string(word.substr(0, equals))};
    if (!is_service_name(member.transport))
        return Error(fmt::format("pooled_transports: '{}' is no name of a transport", printable(member.transport)));
    if (equals != word.npos) {
        const auto weight = parse_number(word.substr(equals + 1));
        if (!weight || *weight == 0 || *weight > weight_at_most)
            return Error(fmt::format("pooled_transports: '{}': a weight from 1 to {} is wanted", printable(word), weight_at_most));
        member.weight = static_cast<std::uint32_t>(*weight);
    }
    return member;
}

/// FNV-1a, then mixed (splitmix64): near names give numbers that are far apart. The same in every process and for ever.
double chance(std::string_view mail, std::string_view nexthop, std::string_view transport)
{
    std::uint64_t hash = 14695981039346656037U;
    for (const std::string_view part : {mail, nexthop, transport}) {
        for (const char c : part)
            hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
        hash = (hash ^ 0xff) * 1099511628211U;
    }
    hash ^= hash >> 30;
    hash *= 0xbf58476d1ce4e5b9U;
    hash ^= hash >> 27;
    hash *= 0x94d049bb133111ebU;
    hash ^= hash >> 31;
    return (static_cast<double>(hash >> 11) + 0.5) / static_cast<double>(std::uint64_t{1} << 53);
}

}  // namespace

Result<Pools> Pools::parse(const config::List& text)
{
    Pools made;
    for (const config::ListMember& group : text) {
        const auto words = config::split_grouped(group.text);
        if (words.size() < 2)
            return Error(fmt::format("pooled_transports: '{}': wanted is {{ NAME, MEMBER=WEIGHT, ... }}", printable(group.text)));
        if (!is_service_name(words.front()))
            return Error(fmt::format("pooled_transports: '{}' is no name of a pool", printable(words.front())));
        auto [pool, fresh] = made.pools_.try_emplace(std::string(words.front()));
        if (!fresh)
            return Error(fmt::format("pooled_transports: {} is there twice", pool->first));
        for (auto word = words.begin() + 1; word != words.end(); ++word) {
            TRY(Member member, member_of(*word));
            if (std::ranges::find(pool->second, member.transport, &Member::transport) != pool->second.end())
                return Error(fmt::format("pooled_transports: {} has {} twice", pool->first, member.transport));
            pool->second.push_back(std::move(member));
        }
    }
    for (const auto& [name, members] : made.pools_)
        for (const Member& member : members)
            if (made.pools_.contains(member.transport))
                return Error(fmt::format("pooled_transports: {} has the pool {}: members are transports", name, member.transport));
    return made;
}

const std::vector<Pools::Member>* Pools::members(std::string_view name) const
{
    const auto at = pools_.find(name);
    return at == pools_.end() ? nullptr : &at->second;
}

bool Pools::choose(handoff::Route& route, std::string_view mail, const Trouble& trouble) const
{
    const std::string pool = route.pool().empty() ? route.transport() : route.pool();
    const auto* const all = members(pool);
    if (!all)
        return false;
    const std::string nexthop = to_lower(route.nexthop());
    const Member* best = nullptr;
    std::pair<int, double> least;
    for (const Member& member : *all) {
        // The first of several arrivals at rates as their weights: each comes first as often as its share.
        const double arrival = -std::log(chance(mail, nexthop, member.transport)) / member.weight;
        const std::pair now{trouble(member.transport, site_key(member.transport, route.nexthop())), arrival};
        if (best && now >= least)
            continue;
        best = &member;
        least = now;
    }
    const bool changed = route.transport() != best->transport;
    route.set_pool(pool);
    route.set_transport(best->transport);
    route.set_site(site_key(best->transport, route.nexthop()));
    return changed;
}

}  // namespace posthorn::route
