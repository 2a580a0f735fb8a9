// net/address.hpp: an IP address, an address with its port or Unix path, and networks in CIDR form.
// Text     "192.0.2.1", "2001:db8::1", "[192.0.2.1]:25" (Postfix's form with port, brackets for both families),
//          "[::1]:25", networks "192.0.2.0/24", "[2001:db8::]/32" and without brackets.
// Values   IPv4-mapped IPv6 addresses (::ffff:192.0.2.1) become IPv4, as Postfix does. A scope id (%eth0) is not kept.
#pragma once

#include "base/error.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::net {

/// Which families are asked for (inet_protocols, smtp_address_preference).
enum class Families { v4, v6, both };

class IpAddress {
public:
    /// 0.0.0.0
    IpAddress() = default;
    static IpAddress v4(std::array<std::uint8_t, 4> octets);
    static IpAddress v6(std::array<std::uint8_t, 16> octets);
    /// Also takes "[addr]" and "IPv6:addr" (RFC 5321 4.1.3). None where it is no address.
    static std::optional<IpAddress> parse(std::string_view text);
    static IpAddress any(bool v6);
    static IpAddress loopback(bool v6 = false);

    bool is_v6() const { return v6_; }
    bool is_v4() const { return !v6_; }
    bool is_loopback() const;
    bool is_any() const;
    /// 4 or 16 octets, network order.
    std::string_view octets() const { return {reinterpret_cast<const char*>(octets_.data()), v6_ ? 16U : 4U}; }
    std::string text() const;
    /// The network of this size that it is in: "192.0.2.0/24", "2001:db8::/32".
    std::string network(unsigned prefix) const;
    /// "4.3.2.1.in-addr.arpa", or nibbles under ip6.arpa.
    std::string reverse_name() const;

    auto operator<=>(const IpAddress&) const = default;

private:
    std::array<std::uint8_t, 16> octets_{};
    bool v6_ = false;
};

/// An address to connect to or listen at.
struct Endpoint {
    Endpoint() = default;
    Endpoint(IpAddress address, std::uint16_t port_number) : ip(address), port(port_number) {}
    static Endpoint unix(std::string path);
    /// From the kernel's form; an unnamed Unix socket has an empty path.
    static Endpoint from(const sockaddr_storage& raw, socklen_t length);

    bool is_unix() const { return is_unix_; }
    /// "[192.0.2.1]:25"; "unix:/path".
    std::string text() const;
    /// Into the kernel's form; 0 where a Unix path is too long.
    socklen_t to(sockaddr_storage& raw) const;

    bool operator==(const Endpoint&) const = default;

    IpAddress ip;
    std::uint16_t port = 0;
    std::string path;

private:
    bool is_unix_ = false;
};

class Network {
public:
    Network(IpAddress address, unsigned prefix);
    /// "192.0.2.0/24", "[::1]/128", a bare address. Errors name what is wrong, host bits that are not zero included
    /// ("non-null host address bits in ...", as Postfix refuses them).
    static Result<Network> parse(std::string_view text);
    bool contains(const IpAddress& address) const;
    std::string text() const;
    bool operator==(const Network&) const = default;

private:
    IpAddress base_;
    unsigned prefix_;
};

/// One address of this machine with the network it is in.
struct Interface {
    std::string name;
    IpAddress address;
    unsigned prefix = 0;
};

/// The addresses of all interfaces that are up.
Result<std::vector<Interface>> interfaces();

}  // namespace posthorn::net
