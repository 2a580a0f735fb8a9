#include "route/pools.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

using namespace posthorn;
using namespace posthorn::route;

namespace {

Pools pools_of(std::string_view text)
{
    auto made = Pools::parse(config::parse_list(text));
    REQUIRE_MESSAGE(made, (made ? "" : made.error().text()));
    return *std::move(made);
}

std::string trouble_of(std::string_view text)
{
    const auto made = Pools::parse(config::parse_list(text));
    return made ? "none" : made.error().text();
}

handoff::Route to(std::string transport, std::string nexthop)
{
    handoff::Route route;
    route.set_transport(std::move(transport));
    route.set_nexthop(std::move(nexthop));
    return route;
}

constexpr auto none = [](std::string_view, std::string_view) { return 0; };

std::string chosen(const Pools& pools, std::string mail, std::string nexthop = "example.test", const Pools::Trouble& trouble = none)
{
    handoff::Route route = to("bulk", std::move(nexthop));
    pools.choose(route, mail, trouble);
    return route.transport();
}

}  // namespace

TEST_CASE("pools: mail is shared by the weights, each at each try by the same member; a route of no pool stays as it is")
{
    const Pools pools = pools_of("{ bulk, out1=3, out2=1, out3 }, { other, out1, out4 }");
    std::map<std::string, int> shares;
    constexpr int mails = 20'000;
    for (int i = 0; i < mails; ++i) {
        const std::string mail = fmt::format("4Q{:06X}", i);
        const std::string member = chosen(pools, mail);
        ++shares[member];
        if (i < 100)
            CHECK(chosen(pools, mail) == member);
    }
    CHECK(shares.size() == 3);
    for (const auto& [member, weight] : std::map<std::string, double>{{"out1", 3}, {"out2", 1}, {"out3", 1}})
        CHECK(std::abs(shares[member] - mails * weight / 5) < 400);         // six times the deviation of 20 000 throws
    // One message to many destinations goes by all of them.
    std::set<std::string> members;
    for (int i = 0; i < 50; ++i)
        members.insert(chosen(pools, "4Q1", fmt::format("site{}.test", i)));
    CHECK(members.size() == 3);

    handoff::Route route = to("bulk", "Example.Test");
    CHECK(pools.choose(route, "4Q1", none));
    CHECK(route.pool() == "bulk");
    CHECK(route.nexthop() == "Example.Test");
    CHECK(route.site() == route.transport() + ":example.test");
    CHECK(!pools.choose(route, "4Q1", none));                                // chosen anew: the same
    handoff::Route plain = to("smtp", "example.test");
    CHECK(!pools.choose(plain, "4Q1", none));
    CHECK(plain.transport() == "smtp");
    CHECK(plain.pool().empty());
}

TEST_CASE("pools: of two the one with less trouble is taken, and only the other's mail moves; where all have the same it counts for nothing")
{
    const Pools pools = pools_of("{ bulk, out1, out2, out3 }");
    std::map<std::string, int> taken;
    for (int i = 0; i < 3000; ++i) {
        const std::string mail = fmt::format("4Q{}", i), before = chosen(pools, mail);
        const std::string after = chosen(pools, mail, "example.test", [](std::string_view transport, std::string_view site) {
            return transport == "out2" && site == "out2:example.test" ? 1 : 0;
        });
        if (before == "out2")
            ++taken[after];
        else
            CHECK(after == before);
        CHECK(chosen(pools, mail, "example.test", [](std::string_view, std::string_view) { return 2; }) == before);
        CHECK(chosen(pools, mail, "example.test", [](std::string_view transport, std::string_view) { return transport == "out3" ? 1 : 2; }) ==
              "out3");
    }
    CHECK(taken.size() == 2);
    CHECK(taken["out1"] > 300);
    CHECK(taken["out3"] > 300);
}

TEST_CASE("pools: every error names the parameter and what is wrong")
{
    CHECK(trouble_of("") == "none");
    CHECK(trouble_of("{a b}") == "none");
    CHECK(trouble_of("bulk") == "pooled_transports: 'bulk': wanted is { NAME, MEMBER=WEIGHT, ... }");
    CHECK(trouble_of("{bulk}") == "pooled_transports: 'bulk': wanted is { NAME, MEMBER=WEIGHT, ... }");
    CHECK(trouble_of("{bulk, out1=0}") == "pooled_transports: 'out1=0': a weight from 1 to 1000 is wanted");
    CHECK(trouble_of("{bulk, out1=1001}") == "pooled_transports: 'out1=1001': a weight from 1 to 1000 is wanted");
    CHECK(trouble_of("{bulk, out1=}") == "pooled_transports: 'out1=': a weight from 1 to 1000 is wanted");
    CHECK(trouble_of("{bulk, smtp:host}") == "pooled_transports: 'smtp:host' is no name of a transport");
    CHECK(trouble_of("{a:b, out1}") == "pooled_transports: 'a:b' is no name of a pool");
    CHECK(trouble_of("{bulk, out1, out1=2}") == "pooled_transports: bulk has out1 twice");
    CHECK(trouble_of("{bulk, out1} {bulk, out2}") == "pooled_transports: bulk is there twice");
    CHECK(trouble_of("{bulk, out1} {more, bulk}") == "pooled_transports: more has the pool bulk: members are transports");
}
