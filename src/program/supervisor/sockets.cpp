#include "supervisor/sockets.hpp"

#include "base/strings.hpp"
#include "config/server_spec.hpp"
#include "net/listener.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <netdb.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::supervisor {

namespace {

Result<std::uint16_t> port_number(const std::string& name)
{
    if (const auto number = parse_number(name); number) {
        if (*number > 65535)
            return Error{fmt::format("bad port number: {}", name)};
        return static_cast<std::uint16_t>(*number);
    }
    if (const auto port = config::tcp_port(name))
        return *port;
    return Error{fmt::format("unknown service: {}/tcp", name)};
}

Result<std::vector<net::IpAddress>> addresses_of(const std::string& host, bool v4, bool v6)
{
    if (const auto literal = net::IpAddress::parse(host))
        return std::vector{*literal};
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0)
        return Error{fmt::format("host not found: {}: {}", host, ::gai_strerror(error))};
    std::vector<net::IpAddress> addresses;
    for (const addrinfo* entry = found; entry; entry = entry->ai_next) {
        sockaddr_storage raw{};
        std::copy_n(reinterpret_cast<const char*>(entry->ai_addr), entry->ai_addrlen, reinterpret_cast<char*>(&raw));
        const net::IpAddress address = net::Endpoint::from(raw, entry->ai_addrlen).ip;
        if ((address.is_v6() ? v6 : v4) && std::ranges::find(addresses, address) == addresses.end())
            addresses.push_back(address);
    }
    ::freeaddrinfo(found);
    if (addresses.empty())
        return Error{fmt::format("host not found: {}: no address of the families in inet_protocols", host)};
    return addresses;
}

Result<Fd> bind_datagram(const std::string& path)
{
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        return system_error("remove old socket " + path, errno);
    Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return Error{"socket path too long: " + path};
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return system_error("bind " + path, errno);
    ::chmod(path.c_str(), 0666);
    return socket;
}

}  // namespace

Result<std::vector<net::Endpoint>> inet_endpoints(std::string_view line_name, std::string_view inet_interfaces, std::string_view inet_protocols)
{
    bool v4 = false, v6 = false;
    for (const std::string_view word : split(inet_protocols, ", \t\r\n")) {
        if (word == "all")
            v4 = v6 = true;
        else if (word == "ipv4")
            v4 = true;
        else if (word == "ipv6")
            v6 = true;
        else
            return Error{fmt::format("bad inet_protocols value: {}", word)};
    }
    // A kernel without IPv6 is no reason to serve nobody.
    if (v6 && v4 && !Fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)))
        v6 = false;

    const std::size_t colon = line_name.rfind(':');
    std::string host(colon == line_name.npos ? std::string_view{} : line_name.substr(0, colon));
    const std::string port_name(colon == line_name.npos ? line_name : line_name.substr(colon + 1));
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    TRY(const std::uint16_t port, port_number(port_name));

    std::vector<std::string> hosts;
    if (!host.empty())
        hosts.push_back(host);
    else
        for (const std::string_view word : split(inet_interfaces, ", \t\r\n"))
            hosts.emplace_back(word);
    if (hosts.empty())
        return Error{"bad inet_interfaces parameter: empty"};

    std::vector<net::Endpoint> endpoints;
    const auto add = [&](const net::IpAddress& address) {
        if (const net::Endpoint endpoint(address, port); std::ranges::find(endpoints, endpoint) == endpoints.end())
            endpoints.push_back(endpoint);
    };
    for (const std::string& name : hosts) {
        if (host.empty() && (name == "all" || name == "loopback-only")) {
            const bool all = name == "all";
            if (v4)
                add(all ? net::IpAddress::any(false) : net::IpAddress::loopback(false));
            if (v6)
                add(all ? net::IpAddress::any(true) : net::IpAddress::loopback(true));
            continue;
        }
        TRY(const auto addresses, addresses_of(name, v4, v6));
        std::ranges::for_each(addresses, add);
    }
    return endpoints;
}

Result<std::vector<std::string>> Sockets::bind(const SocketLine& line, const config::Snapshot& snapshot, const Identity& owner)
{
    std::vector<std::string> places;
    const auto keep = [&](std::string place, Fd socket) {
        bound_.emplace(place, std::make_shared<BoundSocket>(BoundSocket{place, line.type, std::move(socket)}));
        places.push_back(std::move(place));
    };
    if (line.type == config::Transport::inet) {
        TRY(const auto endpoints, inet_endpoints(line.name, snapshot.text("inet_interfaces"), snapshot.text("inet_protocols")));
        for (const net::Endpoint& endpoint : endpoints) {
            if (bound_.contains(endpoint.text())) {
                places.push_back(endpoint.text());
                continue;
            }
            auto socket = net::listen(endpoint);
            if (!socket) {
                // A host without an IPv6 address on it serves IPv4 all the same.
                if (endpoint.ip.is_v6() && endpoints.size() > 1 && socket.error().what().ends_with(errno_text(EADDRNOTAVAIL)))
                    continue;
                return std::move(socket).error();
            }
            keep(endpoint.text(), *std::move(socket));
        }
        return places;
    }
    if (bound_.contains(line.name))
        return std::vector{line.name};
    Fd socket;
    if (line.type == config::Transport::unix_dgram) {
        TRY(socket, bind_datagram(line.name));
    } else {
        TRY(socket, net::listen(net::Endpoint::unix(line.name)));
    }
    if (::geteuid() == 0 && ::lchown(line.name.c_str(), owner.uid, owner.gid) != 0)
        return system_error("set owner of " + line.name, errno);
    keep(line.name, std::move(socket));
    return places;
}

void Sockets::keep_only(const std::vector<std::string>& places)
{
    std::erase_if(bound_, [&](const auto& entry) {
        if (std::ranges::find(places, entry.first) != places.end())
            return false;
        if (entry.second->type != config::Transport::inet)
            ::unlink(entry.first.c_str());
        return true;
    });
}

}  // namespace posthorn::supervisor
