#include "config/site.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <climits>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/strings.hpp"

namespace posthorn::config {

namespace {

bool contains(const auto& range, const auto& what) { return std::ranges::find(range, what) != std::ranges::end(range); }

std::string address_text(const HostAddress& address, const std::array<std::uint8_t, 16>& octets)
{
    char text[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(address.ipv6 ? AF_INET6 : AF_INET, octets.data(), text, sizeof text);
    return address.ipv6 ? fmt::format("[{}]", text) : text;
}

std::string network_text(const HostAddress& address, int length)
{
    auto octets = address.octets;
    for (int bit = 0; bit < (address.ipv6 ? 128 : 32); ++bit)
        if (bit >= length)
            octets[static_cast<std::size_t>(bit / 8)] &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
    return fmt::format("{}/{}", address_text(address, octets), length);
}

/// The length of an address's class (A, B, C; D and E are single addresses).
int class_length(const HostAddress& address)
{
    const auto first = address.octets[0];
    return first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 32;
}

bool is_loopback(const HostAddress& address)
{
    if (!address.ipv6)
        return address.octets[0] == 127;
    return std::ranges::all_of(address.octets.begin(), address.octets.end() - 1, [](auto o) { return o == 0; }) && address.octets[15] == 1;
}

std::string my_host_name(const Site& site, const TextOf& text_of)
{
    if (site.host_name.contains('.'))
        return site.host_name;
    auto domain = text_of("mydomain");
    return fmt::format("{}.{}", site.host_name, domain.empty() ? "localdomain" : domain);
}

/// The addresses that inet_interfaces and inet_protocols leave. Names in inet_interfaces need a resolver: they are looked up
/// by whoever binds, and count here only where they are addresses.
std::vector<HostAddress> own_addresses(const Site& site, const TextOf& text_of)
{
    const auto protocols = text_of("inet_protocols");
    const auto names = split(protocols, ", \t\r\n");
    const bool all = contains(names, "all");
    const bool ipv4 = all || contains(names, "ipv4");
    const bool ipv6 = site.has_ipv6 && (all || contains(names, "ipv6"));
    std::vector<HostAddress> addresses;
    const auto add = [&](const HostAddress& address) {
        if ((address.ipv6 ? ipv6 : ipv4) && !contains(addresses, address))
            addresses.push_back(address);
    };
    const auto interfaces = text_of("inet_interfaces");
    for (const auto name : split(interfaces, ", \t\r\n")) {
        const bool everything = iequals(name, "all"), loopback = iequals(name, "loopback-only") || iequals(name, "localhost");
        auto literal = name;
        if (literal.starts_with('[') && literal.ends_with(']'))
            literal = literal.substr(1, literal.size() - 2);
        const auto wanted = parse_host_address(literal);
        for (const auto& address : site.addresses)
            if (everything || (loopback && is_loopback(address)) || (wanted && wanted->ipv6 == address.ipv6 && wanted->octets == address.octets))
                add(address);
    }
    return addresses;
}

std::string my_networks(const Site& site, const TextOf& text_of)
{
    const auto style = text_of("mynetworks_style");
    std::vector<std::string> networks;
    for (const auto& address : own_addresses(site, text_of)) {
        const int whole = address.ipv6 ? 128 : 32;
        int length = whole;
        if (iequals(style, "class"))
            length = address.ipv6 ? address.prefix_length : class_length(address);
        else if (iequals(style, "subnet"))
            length = address.prefix_length;
        auto text = network_text(address, length);
        if (!contains(networks, text))
            networks.push_back(std::move(text));
    }
    return fmt::format("{}", fmt::join(networks, " "));
}

}  // namespace

std::string HostAddress::text() const { return address_text(*this, octets); }

std::optional<HostAddress> parse_host_address(std::string_view text)
{
    HostAddress address;
    const auto slash = text.find('/');
    const std::string host{text.substr(0, slash)};
    if (::inet_pton(AF_INET, host.c_str(), address.octets.data()) != 1) {
        address.ipv6 = true;
        address.prefix_length = 128;
        if (::inet_pton(AF_INET6, host.c_str(), address.octets.data()) != 1)
            return std::nullopt;
    }
    if (slash != text.npos) {
        const auto length = parse_number(text.substr(slash + 1));
        if (!length || *length > (address.ipv6 ? 128U : 32U))
            return std::nullopt;
        address.prefix_length = static_cast<int>(*length);
    }
    return address;
}

const std::map<std::string, std::string, std::less<>>& installed_defaults()
{
    static const std::map<std::string, std::string, std::less<>> defaults{
        {"command_directory", "/usr/sbin"},
        {"daemon_directory", "/usr/lib/posthorn/sbin"},
        {"data_directory", "/var/lib/postfix"},
        {"default_cache_db_type", "lmdb"},
        {"default_database_type", "lmdb"},
        {"html_directory", "no"},
        {"mail_name", "Posthorn"},                  // of ourselves; mail_version answers scripts with the compatible version
        {"mail_release_date", "20240304"},
        {"mail_version", "3.7.11"},
        {"mailq_path", "/usr/bin/mailq"},
        {"manpage_directory", "/usr/share/man"},
        {"meta_directory", "/etc/postfix"},
        {"multi_instance_wrapper", ""},
        {"newaliases_path", "/usr/bin/newaliases"},
        {"openssl_path", "openssl"},
        {"queue_directory", "/var/spool/postfix"},
        {"readme_directory", "no"},
        {"sample_directory", "/etc/postfix"},
        {"sendmail_path", "/usr/sbin/sendmail"},
        {"shlib_directory", "no"},
    };
    return defaults;
}

Site this_host(std::string_view process_name)
{
    Site site;
    char name[HOST_NAME_MAX + 1] = {};
    if (::gethostname(name, sizeof name - 1) == 0)
        site.host_name = name;
    site.process_name = process_name;
    site.process_id = ::getpid();
    site.has_ipv6 = bool{Fd{::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)}};
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0)
        return site;
    const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner{list, ::freeifaddrs};
    for (const auto* at = list; at; at = at->ifa_next) {
        if (!at->ifa_addr || !at->ifa_netmask || !(at->ifa_flags & IFF_UP))
            continue;
        HostAddress address;
        const auto count_bits = [](const std::uint8_t* mask, std::size_t size) {
            int bits = 0;
            for (std::size_t i = 0; i < size; ++i)
                bits += std::popcount(mask[i]);
            return bits;
        };
        if (at->ifa_addr->sa_family == AF_INET) {
            sockaddr_in in{}, mask{};
            std::memcpy(&in, at->ifa_addr, sizeof in);
            std::memcpy(&mask, at->ifa_netmask, sizeof mask);
            std::memcpy(address.octets.data(), &in.sin_addr, 4);
            address.prefix_length = std::popcount(mask.sin_addr.s_addr);
        } else if (at->ifa_addr->sa_family == AF_INET6) {
            sockaddr_in6 in{}, mask{};
            std::memcpy(&in, at->ifa_addr, sizeof in);
            std::memcpy(&mask, at->ifa_netmask, sizeof mask);
            address.ipv6 = true;
            std::memcpy(address.octets.data(), &in.sin6_addr, 16);
            address.prefix_length = count_bits(mask.sin6_addr.s6_addr, 16);
        } else {
            continue;
        }
        site.addresses.push_back(address);
    }
    return site;
}

std::optional<std::string> site_default(const Site& site, std::string_view name, std::string_view config_directory, const TextOf& text_of)
{
    if (name == "myhostname")
        return my_host_name(site, text_of);
    if (name == "mydomain") {
        const auto host = text_of("myhostname");
        const auto dot = host.find('.');
        return dot == host.npos ? "localdomain" : host.substr(dot + 1);
    }
    if (name == "mynetworks")
        return my_networks(site, text_of);
    if (name == "config_directory")
        return std::string{config_directory};
    if (name == "process_name")
        return site.process_name;
    if (name == "process_id")
        return fmt::format("{}", site.process_id);
    if (const auto chosen = site.chosen.find(name); chosen != site.chosen.end())
        return chosen->second;
    const auto installed = installed_defaults().find(name);
    return installed == installed_defaults().end() ? std::nullopt : std::optional{installed->second};
}

}  // namespace posthorn::config
