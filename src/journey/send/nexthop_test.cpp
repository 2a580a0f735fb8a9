#include "send/nexthop.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

std::vector<Host> hosts(std::initializer_list<std::pair<std::uint32_t, const char*>> list)
{
    std::vector<Host> made;
    for (const auto& [preference, address] : list)
        made.push_back({std::string("h") + address, net::Endpoint(*net::IpAddress::parse(address), 25), preference});
    return made;
}

}  // namespace

TEST_CASE("next hop: each form means what Postfix means by it")
{
    struct Row {
        const char* text;
        bool lmtp;
        const char* name;
        unsigned port;
        bool mx;
    };
    for (const Row& row : std::initializer_list<Row>{{"example.com", false, "example.com", 25, true},
                                                     {"example.com:587", false, "example.com", 587, true},
                                                     {"example.com:submission", false, "example.com", 587, true},
                                                     {"[example.com]", false, "example.com", 25, false},
                                                     {"[example.com]:2525", false, "example.com", 2525, false},
                                                     {"[192.0.2.1]:26", false, "192.0.2.1", 26, false},
                                                     {"[IPv6:2001:db8::1]", false, "2001:db8::1", 25, false},
                                                     {"inet:host:24", true, "host", 24, false},
                                                     {"host", true, "host", 25, false}}) {
        const auto parsed = parse_nexthop(row.text, 25, row.lmtp);
        REQUIRE_MESSAGE(parsed.has_value(), row.text);
        CHECK(parsed->size() == 1);
        CHECK(parsed->front().name == row.name);
        CHECK(parsed->front().port == row.port);
        CHECK(parsed->front().mx == row.mx);
    }
    CHECK(parse_nexthop("unix:/run/lmtp", 24, true)->front().unix_path == "/run/lmtp");
    CHECK(parse_nexthop("a.test, [b.test]:26 c.test", 25, false)->size() == 3);
    CHECK(parse_nexthop("[192.0.2.1]", 25, false)->front().literal.has_value());
}

TEST_CASE("next hop: what is wrong is said")
{
    CHECK(parse_nexthop("", 25, false).error().what() == "bad next hop: it is empty");
    CHECK(parse_nexthop("[a", 25, false).error().what() == "bad next hop: [a: no ]");
    CHECK(parse_nexthop("a:", 25, false).error().what() == "bad next hop: a:: no port");
    CHECK(parse_nexthop("a:0", 25, false).error().what() == "bad next hop: a:0: unknown port 0");
    CHECK(parse_nexthop("a:70000", 25, false).error().what() == "bad next hop: a:70000: unknown port 70000");
    CHECK(parse_nexthop(":25", 25, false).error().what() == "bad next hop: :25: no host");
    CHECK(parse_nexthop("[a]x", 25, false).error().what() == "bad next hop: [a]x");
}

TEST_CASE("order: preference first, equals shuffled, families as wished")
{
    std::mt19937_64 random(3);
    Options options;
    options.address_limit = 0;
    auto list = hosts({{20, "192.0.2.3"}, {10, "192.0.2.1"}, {10, "2001:db8::1"}, {10, "192.0.2.2"}});
    options.preference = AddressPreference::ipv6;
    put_in_order(list, options, random);
    CHECK(list.front().endpoint.ip.is_v6());
    CHECK(list.back().endpoint.ip.text() == "192.0.2.3");
    bool first_seen = false, second_seen = false;
    options.preference = AddressPreference::ipv4;
    for (int i = 0; i < 64; ++i) {
        auto again = hosts({{10, "192.0.2.1"}, {10, "192.0.2.2"}, {10, "2001:db8::1"}});
        put_in_order(again, options, random);
        first_seen = first_seen || again.front().endpoint.ip.text() == "192.0.2.1";
        second_seen = second_seen || again.front().endpoint.ip.text() == "192.0.2.2";
        CHECK(again.back().endpoint.ip.is_v6());
    }
    CHECK(first_seen);
    CHECK(second_seen);
}

TEST_CASE("order: the address limit keeps both families where there are both")
{
    std::mt19937_64 random(3);
    Options options;
    options.randomize = false;
    options.address_limit = 4;
    auto list = hosts({{1, "2001:db8::1"}, {2, "2001:db8::2"}, {3, "2001:db8::3"}, {4, "2001:db8::4"}, {5, "2001:db8::5"}, {6, "192.0.2.1"}});
    auto plain = list;
    put_in_order(list, options, random);
    CHECK(list.size() == 4);
    CHECK(list.back().endpoint.ip.is_v4());
    options.balance = false;
    put_in_order(plain, options, random);
    CHECK(plain.back().endpoint.ip.is_v6());
    CHECK(plain.size() == 4);
}

TEST_CASE("loops: hosts that are no nearer than we are do not count; none left is a loop")
{
    auto list = hosts({{10, "192.0.2.1"}, {20, "192.0.2.2"}, {20, "192.0.2.3"}, {30, "192.0.2.4"}});
    CHECK(cut_at_self(list, {*net::IpAddress::parse("192.0.2.2")}));
    CHECK(list.size() == 1);
    const std::vector own{*net::IpAddress::parse("192.0.2.1")};
    auto best = hosts({{10, "192.0.2.1"}, {20, "192.0.2.2"}});
    CHECK(!cut_at_self(best, own));
    auto beside = hosts({{10, "192.0.2.1"}});
    beside[0].endpoint.port = 2525;                                     // another server on this machine
    CHECK(cut_at_self(beside, own));
    auto other = hosts({{10, "192.0.2.2"}});
    CHECK(cut_at_self(other, own));
    CHECK(other.size() == 1);
}
