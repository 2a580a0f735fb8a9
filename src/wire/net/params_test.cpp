#include "net/params.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace posthorn;
using namespace posthorn::net;

namespace {

Result<std::vector<IpAddress>> own(std::string_view main_cf)
{
    static constexpr std::span<const config::ParamInfo> rooms[] = {params};
    return own_addresses(config::Snapshot{{.host_name = "mail.test"}, "/etc/test", config::parse_main_cf(main_cf, "main.cf").value(), rooms});
}

bool has(const std::vector<IpAddress>& list, const IpAddress& address) { return std::find(list.begin(), list.end(), address) != list.end(); }

}  // namespace

TEST_CASE("own addresses: those of the interfaces chosen, in the families chosen, and the proxies'")
{
    CHECK(has(own("").value(), IpAddress::loopback()));
    CHECK(own("inet_interfaces = 192.0.2.1, [2001:db8::1]\n").value().size() == 2);
    CHECK(own("inet_interfaces = 192.0.2.1, 2001:db8::1\ninet_protocols = ipv4\n").value().size() == 1);
    CHECK(has(own("inet_interfaces = loopback-only\nproxy_interfaces = 203.0.113.1\n").value(), *IpAddress::parse("203.0.113.1")));
    CHECK(has(own("inet_interfaces = localhost\ninet_protocols = ipv4\n").value(), IpAddress::loopback()));
    CHECK(own("inet_interfaces = no.such.host.invalid\n")
              .error()
              .what()
              .starts_with("config variable inet_interfaces: host not found: no.such.host.invalid"));
    CHECK(parse_families("ipv6, ipv4").value() == Families::both);
    CHECK(parse_families("ipv5").error().what() == "parameter inet_protocols: unknown value \"ipv5\"");
    CHECK(parse_families("").error().what() == "parameter inet_protocols: no protocol");
}
