#include "send/nexthop.hpp"

#include "base/strings.hpp"

#include <netdb.h>

#include <algorithm>
#include <tuple>

namespace posthorn::send {

namespace {

std::optional<std::uint16_t> port_number(std::string_view text)
{
    if (const auto number = parse_number(text))
        return *number != 0 && *number < 65536 ? std::optional(static_cast<std::uint16_t>(*number)) : std::nullopt;
    // The names that mail uses, so that no service database is needed behind a chroot.
    for (const auto& [name, port] :
         {std::pair<std::string_view, std::uint16_t>{"smtp", 25}, {"submission", 587}, {"submissions", 465}, {"smtps", 465}, {"lmtp", 24}})
        if (iequals(name, text))
            return port;
    return std::nullopt;
}

Result<Destination> parse_one(std::string_view text, std::uint16_t default_port, bool lmtp)
{
    Destination made;
    made.port = default_port;
    made.mx = !lmtp;
    if (lmtp && text.starts_with("unix:")) {
        made.unix_path = text.substr(5);
        if (made.unix_path.empty())
            return Error(fmt::format("bad next hop: {}", text), "5.3.5");
        made.text = made.unix_path;
        return made;
    }
    if (lmtp && text.starts_with("inet:"))
        text.remove_prefix(5);
    const std::string whole(text);
    made.text = whole;
    std::string_view port;
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        if (close == text.npos)
            return Error(fmt::format("bad next hop: {}: no ]", whole), "5.3.5");
        made.name = text.substr(1, close - 1);
        made.mx = false;
        const auto rest = text.substr(close + 1);
        if (!rest.empty() && rest.front() != ':')
            return Error(fmt::format("bad next hop: {}", whole), "5.3.5");
        port = rest.empty() ? rest : rest.substr(1);
        if (!rest.empty() && port.empty())
            return Error(fmt::format("bad next hop: {}: no port", whole), "5.3.5");
    } else {
        const auto colon = text.rfind(':');
        made.name = text.substr(0, colon);
        if (colon != text.npos) {
            port = text.substr(colon + 1);
            if (port.empty())
                return Error(fmt::format("bad next hop: {}: no port", whole), "5.3.5");
        }
    }
    if (made.name.empty())
        return Error(fmt::format("bad next hop: {}: no host", whole), "5.3.5");
    if (!port.empty()) {
        const auto number = port_number(port);
        if (!number)
            return Error(fmt::format("bad next hop: {}: unknown port {}", whole, port), "5.3.5");
        made.port = *number;
        made.service = port;
    }
    if (auto literal = net::IpAddress::parse(made.name); literal && !made.mx) {
        made.literal = *literal;
        made.name = literal->text();
    }
    return made;
}

}  // namespace

Result<std::vector<Destination>> parse_nexthop(std::string_view text, std::uint16_t default_port, bool lmtp)
{
    std::vector<Destination> all;
    for (const std::string_view one : split(text, ", \t\r\n")) {
        TRY(auto destination, parse_one(one, default_port, lmtp));
        all.push_back(std::move(destination));
    }
    if (all.empty())
        return Error("bad next hop: it is empty", "5.3.5");
    return all;
}

std::string Host::text() const { return fmt::format("{}[{}]", name, endpoint.is_unix() ? endpoint.path : endpoint.ip.text()); }

std::string Host::relay() const { return endpoint.is_unix() ? text() : fmt::format("{}:{}", text(), endpoint.port); }

void put_in_order(std::vector<Host>& hosts, const Options& options, std::mt19937_64& random)
{
    if (options.randomize)
        std::ranges::shuffle(hosts, random);
    const bool v6_first = options.preference == AddressPreference::ipv6;
    // The place in the shuffled order is the last key: a sort that need not be stable (std::stable_sort's buffer is deprecated here).
    std::vector<std::tuple<std::uint32_t, bool, std::size_t>> keys;
    for (std::size_t i = 0; i < hosts.size(); ++i)
        keys.emplace_back(hosts[i].preference, options.preference != AddressPreference::any && hosts[i].endpoint.ip.is_v6() != v6_first, i);
    std::ranges::sort(keys);
    std::vector<Host> ordered;
    for (const auto& key : keys)
        ordered.push_back(std::move(hosts[std::get<2>(key)]));
    hosts = std::move(ordered);
    const std::size_t limit = options.address_limit;
    if (limit == 0 || hosts.size() <= limit)
        return;
    if (!options.balance) {
        hosts.resize(limit);
        return;
    }
    // A family fills at most what the other leaves of the limit, and the other may have half of it.
    const auto v6 = static_cast<std::size_t>(std::ranges::count_if(hosts, [](const Host& host) { return host.endpoint.ip.is_v6(); }));
    const std::size_t v4 = hosts.size() - v6;
    std::size_t room6 = limit - std::min(v4, (limit + 1) / 2);
    room6 = std::min(room6, v6);
    std::size_t room4 = limit - room6;
    std::erase_if(hosts, [&](const Host& host) {
        std::size_t& room = host.endpoint.ip.is_v6() ? room6 : room4;
        return room == 0 || (--room, false);
    });
}

void order_by_weight(std::vector<dns::Record>& records, std::mt19937_64& random)
{
    std::ranges::shuffle(records, random);                          // equal weights say nothing for the one that the answer has first
    // Those without a weight come first, so that a draw of 0 finds them: a small chance, as RFC 2782 asks.
    std::ranges::sort(records, {}, [](const dns::Record& record) { return std::pair(record.preference, record.weight != 0); });
    for (auto next = records.begin(); next != records.end(); ++next) {
        const auto end = std::ranges::find_if(next, records.end(), [&](const dns::Record& record) { return record.preference != next->preference; });
        std::uint64_t sum = 0;
        for (const dns::Record& record : std::ranges::subrange(next, end))
            sum += record.weight;
        std::uint64_t drawn = std::uniform_int_distribution<std::uint64_t>(0, sum)(random);
        auto chosen = next;
        while (drawn > chosen->weight)
            drawn -= chosen++->weight;
        std::rotate(next, chosen, chosen + 1);
    }
}

bool cut_at_self(std::vector<Host>& hosts, const std::vector<net::IpAddress>& own_addresses)
{
    std::uint32_t self = UINT32_MAX;
    for (const Host& host : hosts)
        if (host.endpoint.port == 25 && std::ranges::find(own_addresses, host.endpoint.ip) != own_addresses.end())
            self = std::min(self, host.preference);
    if (self != UINT32_MAX)
        std::erase_if(hosts, [&](const Host& host) { return host.preference >= self; });
    return !hosts.empty();
}

}  // namespace posthorn::send
