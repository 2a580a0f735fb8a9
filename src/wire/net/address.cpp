#include "net/address.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/un.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

namespace posthorn::net {

IpAddress IpAddress::v4(std::array<std::uint8_t, 4> octets)
{
    IpAddress address;
    std::memcpy(address.octets_.data(), octets.data(), 4);
    return address;
}

IpAddress IpAddress::v6(std::array<std::uint8_t, 16> octets)
{
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (std::memcmp(octets.data(), mapped.data(), mapped.size()) == 0)
        return v4({octets[12], octets[13], octets[14], octets[15]});
    IpAddress address;
    address.octets_ = octets;
    address.v6_ = true;
    return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text)
{
    if (text.size() >= 2 && text.front() == '[' && text.back() == ']')
        text = text.substr(1, text.size() - 2);
    const bool tagged = istarts_with(text, "IPv6:");
    if (tagged)
        text.remove_prefix(5);
    char buffer[INET6_ADDRSTRLEN];
    if (text.empty() || text.size() >= sizeof buffer)
        return std::nullopt;
    text.copy(buffer, text.size());
    buffer[text.size()] = '\0';
    if (text.find('\0') != text.npos)
        return std::nullopt;
    std::array<std::uint8_t, 4> four{};
    if (!tagged && ::inet_pton(AF_INET, buffer, four.data()) == 1)
        return v4(four);
    std::array<std::uint8_t, 16> sixteen{};
    if (::inet_pton(AF_INET6, buffer, sixteen.data()) == 1)
        return v6(sixteen);
    return std::nullopt;
}

IpAddress IpAddress::any(bool v6)
{
    IpAddress address;
    address.v6_ = v6;
    return address;
}

IpAddress IpAddress::loopback(bool v6)
{
    if (!v6)
        return v4({127, 0, 0, 1});
    std::array<std::uint8_t, 16> octets{};
    octets[15] = 1;
    return IpAddress::v6(octets);
}

bool IpAddress::is_loopback() const { return v6_ ? *this == loopback(true) : octets_[0] == 127; }

bool IpAddress::is_any() const { return *this == any(v6_); }

std::string IpAddress::text() const
{
    char buffer[INET6_ADDRSTRLEN];
    return ::inet_ntop(v6_ ? AF_INET6 : AF_INET, octets_.data(), buffer, sizeof buffer);
}

std::string IpAddress::network(unsigned prefix) const
{
    IpAddress base = *this;
    for (std::size_t at = 0; at < octets().size(); ++at) {
        const unsigned kept = prefix > at * 8 ? std::min<unsigned>(prefix - static_cast<unsigned>(at) * 8, 8) : 0;
        base.octets_[at] = static_cast<std::uint8_t>(base.octets_[at] & (0xff00U >> kept));
    }
    return fmt::format("{}/{}", base.text(), prefix);
}

std::string IpAddress::reverse_name() const
{
    if (!v6_)
        return fmt::format("{}.{}.{}.{}.in-addr.arpa", octets_[3], octets_[2], octets_[1], octets_[0]);
    std::string name;
    for (std::size_t i = octets_.size(); i-- > 0;)
        name += fmt::format("{:x}.{:x}.", octets_[i] & 15, octets_[i] >> 4);
    return name + "ip6.arpa";
}

Endpoint Endpoint::unix(std::string path)
{
    Endpoint endpoint;
    endpoint.path = std::move(path);
    endpoint.is_unix_ = true;
    return endpoint;
}

Endpoint Endpoint::from(const sockaddr_storage& raw, socklen_t length)
{
    switch (raw.ss_family) {
    case AF_INET: {
        sockaddr_in in{};
        std::memcpy(&in, &raw, sizeof in);
        return {IpAddress::v4(std::bit_cast<std::array<std::uint8_t, 4>>(in.sin_addr)), ntohs(in.sin_port)};
    }
    case AF_INET6: {
        sockaddr_in6 in{};
        std::memcpy(&in, &raw, sizeof in);
        return {IpAddress::v6(std::bit_cast<std::array<std::uint8_t, 16>>(in.sin6_addr)), ntohs(in.sin6_port)};
    }
    case AF_UNIX: {
        sockaddr_un un{};
        std::memcpy(&un, &raw, std::min<std::size_t>(length, sizeof un));
        const std::size_t used = length > offsetof(sockaddr_un, sun_path) ? length - offsetof(sockaddr_un, sun_path) : 0;
        return unix(std::string(un.sun_path, ::strnlen(un.sun_path, std::min(used, sizeof un.sun_path))));
    }
    default: return {};
    }
}

std::string Endpoint::text() const
{
    if (is_unix_)
        return "unix:" + path;
    return fmt::format("[{}]:{}", ip.text(), port);
}

socklen_t Endpoint::to(sockaddr_storage& raw) const
{
    raw = {};
    if (is_unix_) {
        sockaddr_un un{};
        un.sun_family = AF_UNIX;
        if (path.size() >= sizeof un.sun_path)
            return 0;
        std::memcpy(un.sun_path, path.data(), path.size());
        std::memcpy(&raw, &un, sizeof un);
        return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    }
    if (ip.is_v6()) {
        sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(port);
        std::memcpy(&in.sin6_addr, ip.octets().data(), 16);
        std::memcpy(&raw, &in, sizeof in);
        return sizeof in;
    }
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, ip.octets().data(), 4);
    std::memcpy(&raw, &in, sizeof in);
    return sizeof in;
}

namespace {

bool same_bits(std::string_view a, std::string_view b, unsigned bits)
{
    const std::size_t whole = bits / 8;
    if (a.substr(0, whole) != b.substr(0, whole))
        return false;
    const unsigned rest = bits % 8;
    return rest == 0 || ((static_cast<unsigned char>(a[whole]) ^ static_cast<unsigned char>(b[whole])) >> (8 - rest)) == 0;
}

}  // namespace

Network::Network(IpAddress address, unsigned prefix) : base_(address), prefix_(std::min(prefix, address.is_v6() ? 128U : 32U)) {}

Result<Network> Network::parse(std::string_view text)
{
    std::string_view host = text;
    std::optional<std::string_view> mask;
    if (const auto slash = text.rfind('/'); slash != text.npos) {
        host = text.substr(0, slash);
        mask = text.substr(slash + 1);
    }
    const auto address = IpAddress::parse(host);
    if (!address)
        return Error{fmt::format("bad net/mask pattern: \"{}\"", text)};
    const unsigned longest = address->is_v6() ? 128 : 32;
    unsigned prefix = longest;
    if (mask) {
        const auto number = parse_number(*mask);
        if (!number || *number > longest)
            return Error{fmt::format("bad net/mask pattern: \"{}\"", text)};
        prefix = static_cast<unsigned>(*number);
    }
    std::string base(address->octets());
    for (unsigned bit = prefix; bit < longest; ++bit)
        base[bit / 8] = static_cast<char>(base[bit / 8] & ~(0x80 >> (bit % 8)));
    if (base != address->octets()) {
        std::array<std::uint8_t, 16> octets{};
        std::memcpy(octets.data(), base.data(), base.size());
        const IpAddress zeroed = address->is_v6() ? IpAddress::v6(octets) : IpAddress::v4({octets[0], octets[1], octets[2], octets[3]});
        return Error{fmt::format("non-null host address bits in \"{}\", perhaps you should use \"{}/{}\" instead", text, zeroed.text(), prefix)};
    }
    return Network(*address, prefix);
}

bool Network::contains(const IpAddress& address) const
{
    return address.is_v6() == base_.is_v6() && same_bits(address.octets(), base_.octets(), prefix_);
}

std::string Network::text() const { return fmt::format(fmt::runtime(base_.is_v6() ? "[{}]/{}" : "{}/{}"), base_.text(), prefix_); }

Result<std::vector<Interface>> interfaces()
{
    ifaddrs* raw = nullptr;
    if (::getifaddrs(&raw) != 0)
        return system_error("getifaddrs", errno);
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(raw, ::freeifaddrs);
    std::vector<Interface> found;
    for (const ifaddrs* entry = list.get(); entry; entry = entry->ifa_next) {
        if (!entry->ifa_addr || !(entry->ifa_flags & IFF_UP))
            continue;
        const int family = entry->ifa_addr->sa_family;
        if (family != AF_INET && family != AF_INET6)
            continue;
        const socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
        sockaddr_storage address{}, mask{};
        std::memcpy(&address, entry->ifa_addr, length);
        Interface interface{entry->ifa_name, Endpoint::from(address, length).ip, 0};
        if (entry->ifa_netmask) {
            std::memcpy(&mask, entry->ifa_netmask, length);
            mask.ss_family = static_cast<sa_family_t>(family);
            const Endpoint bits = Endpoint::from(mask, length);
            for (const char octet : bits.ip.octets())
                interface.prefix += static_cast<unsigned>(std::popcount(static_cast<unsigned char>(octet)));
        }
        found.push_back(std::move(interface));
    }
    return found;
}

}  // namespace posthorn::net
