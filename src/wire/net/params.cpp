#include "net/params.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <netdb.h>

#include <algorithm>
#include <memory>

namespace posthorn::net {

namespace {

bool wanted(const IpAddress& address, Families families) { return families == Families::both || address.is_v6() == (families == Families::v6); }

Result<std::vector<IpAddress>> resolve(std::string_view name, std::string_view parameter)
{
    if (const auto address = IpAddress::parse(name))
        return std::vector{*address};
    addrinfo hints{}, *raw = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (const int code = ::getaddrinfo(std::string(name).c_str(), nullptr, &hints, &raw))
        return Error{fmt::format("config variable {}: host not found: {} ({})", parameter, name, ::gai_strerror(code))};
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(raw, ::freeaddrinfo);
    std::vector<IpAddress> found;
    for (const addrinfo* entry = raw; entry; entry = entry->ai_next) {
        sockaddr_storage address{};
        std::copy_n(reinterpret_cast<const char*>(entry->ai_addr), entry->ai_addrlen, reinterpret_cast<char*>(&address));
        found.push_back(Endpoint::from(address, entry->ai_addrlen).ip);
    }
    return found;
}

}  // namespace

Result<Families> parse_families(std::string_view text)
{
    bool v4 = false, v6 = false;
    for (const std::string_view word : split(text, " ,\t\r\n")) {
        v4 |= iequals(word, "ipv4") || iequals(word, "all");
        v6 |= iequals(word, "ipv6") || iequals(word, "all");
        if (!iequals(word, "ipv4") && !iequals(word, "ipv6") && !iequals(word, "all"))
            return Error{fmt::format("parameter inet_protocols: unknown value \"{}\"", word)};
    }
    if (!v4 && !v6)
        return Error{"parameter inet_protocols: no protocol"};
    return v4 && v6 ? Families::both : v6 ? Families::v6 : Families::v4;
}

Result<std::vector<IpAddress>> own_addresses(const config::Snapshot& config)
{
    TRY(const Families families, parse_families(config.text("inet_protocols")));
    TRY(const std::vector<Interface> present, interfaces());
    std::vector<IpAddress> own;
    const auto add = [&](const IpAddress& address) {
        if (wanted(address, families) && std::find(own.begin(), own.end(), address) == own.end())
            own.push_back(address);
    };
    const std::string listed = config.get(inet_interfaces);
    for (const std::string_view word : split(listed, " ,\t\r\n")) {
        if (iequals(word, "all") || iequals(word, "loopback-only")) {
            for (const Interface& interface : present)
                if (iequals(word, "all") || interface.address.is_loopback())
                    add(interface.address);
            continue;
        }
        TRY(const auto addresses, resolve(word, "inet_interfaces"));
        for (const IpAddress& address : addresses)
            add(address);
    }
    const std::string proxies = config.get(proxy_interfaces);
    for (const std::string_view word : split(proxies, " ,\t\r\n")) {
        TRY(const auto addresses, resolve(word, "proxy_interfaces"));
        for (const IpAddress& address : addresses)
            add(address);
    }
    return own;
}

}  // namespace posthorn::net
