#include "net/address.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::net;

TEST_CASE("address: texts are read and printed in Postfix's forms; what is no address is none")
{
    for (const auto& [text, printed] : {std::pair{"192.0.2.1", "192.0.2.1"},
                                        {"[192.0.2.1]", "192.0.2.1"},
                                        {"2001:DB8::0:1", "2001:db8::1"},
                                        {"[IPv6:2001:db8::1]", "2001:db8::1"},
                                        {"::ffff:192.0.2.1", "192.0.2.1"},
                                        {"::", "::"}})
        CHECK(IpAddress::parse(text).value().text() == printed);
    for (const auto text : {"", "192.0.2", "192.0.2.256", "192.0.2.1 ", "[]", "[192.0.2.1", "2001:db8:::1", "::1%lo", "IPv6:192.0.2.1", "localhost",
                            "01234567890123456789012345678901234567890123456789"})
        CHECK_FALSE(IpAddress::parse(text));
    CHECK_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0x", 9)));
    CHECK(Endpoint(IpAddress::loopback(true), 25).text() == "[::1]:25");
    CHECK(Endpoint(IpAddress::parse("192.0.2.1").value(), 25).text() == "[192.0.2.1]:25");
    CHECK(Endpoint::unix("/run/x").text() == "unix:/run/x");
    CHECK(IpAddress::parse("192.0.2.1")->reverse_name() == "1.2.0.192.in-addr.arpa");
    CHECK(IpAddress::parse("2001:db8::1")->reverse_name() == "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

TEST_CASE("address: the network that it is in")
{
    CHECK(IpAddress::parse("192.0.2.255")->network(24) == "192.0.2.0/24");
    CHECK(IpAddress::parse("192.0.2.255")->network(27) == "192.0.2.224/27");
    CHECK(IpAddress::parse("192.0.2.255")->network(0) == "0.0.0.0/0");
    CHECK(IpAddress::parse("192.0.2.255")->network(32) == "192.0.2.255/32");
    CHECK(IpAddress::parse("2001:db8:ffff::1")->network(33) == "2001:db8:8000::/33");
}

TEST_CASE("network: contains what its prefix says, down to the odd bit; host bits are an error that names the right network")
{
    const auto in = [](std::string_view network, std::string_view address) {
        return Network::parse(network).value().contains(IpAddress::parse(address).value());
    };
    CHECK(in("192.0.2.0/24", "192.0.2.255"));
    CHECK_FALSE(in("192.0.2.0/24", "192.0.3.0"));
    CHECK(in("192.0.2.128/25", "192.0.2.129"));
    CHECK_FALSE(in("192.0.2.128/25", "192.0.2.127"));
    CHECK(in("0.0.0.0/0", "203.0.113.9"));
    CHECK_FALSE(in("0.0.0.0/0", "::1"));
    CHECK(in("[2001:db8::]/33", "2001:db8:7fff::1"));
    CHECK_FALSE(in("2001:db8::/33", "2001:db8:8000::1"));
    CHECK(in("192.0.2.7", "192.0.2.7"));
    CHECK_FALSE(in("192.0.2.7", "192.0.2.6"));
    CHECK(Network::parse("[2001:db8::]/32")->text() == "[2001:db8::]/32");
    CHECK(Network::parse("192.0.2.1/24").error().what() ==
          "non-null host address bits in \"192.0.2.1/24\", perhaps you should use \"192.0.2.0/24\" instead");
    for (const auto text : {"192.0.2.0/33", "192.0.2.0/", "192.0.2.0/x", "[::]/129", "host/24"})
        CHECK(Network::parse(text).error().what() == "bad net/mask pattern: \"" + std::string(text) + "\"");
}

TEST_CASE("interfaces: the loopback network is found with its prefix")
{
    const auto found = interfaces().value();
    bool loopback = false;
    for (const Interface& interface : found)
        loopback |= interface.address == IpAddress::loopback() && interface.prefix == 8;
    CHECK(loopback);
}
