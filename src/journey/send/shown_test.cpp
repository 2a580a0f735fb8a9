// What a session hands on of what its peer showed: once, at its end, whether mail went or not.
#include "peers/book.hpp"
#include "send/world_test.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace posthorn;
using namespace posthorn::send;
using peers::Aspect;

namespace {

constexpr std::string_view modest =
    "host peer.test\nlike bdat\nS 220 $host ESMTP Exim 4.96 ready at 10:00:00\non EHLO *\n  S 250-$host\n  S 250-SIZE 5000000\n"
    "  S 250-AUTH PLAIN LOGIN\n  S 250 PIPELINING\n  state ready\n";

struct Watched {
    explicit Watched(std::string_view script) : world(script), book(world.clock, {})
    {
        world.knowledge = &book;
        book.on_observation = [this](const peers::Observation& seen) {
            if (seen.whole)
                faces.push_back(seen.face);
            else
                CHECK(seen.face == peers::Face{});
        };
    }
    std::string value(std::size_t at, Aspect aspect, std::string_view name = {}) const
    {
        for (const peers::Face::Seen& one : faces.at(at).seen)
            if (one.aspect == aspect && one.name == name)
                return one.value;
        return "(none)";
    }
    World world;
    peers::Book book;
    std::vector<peers::Face> faces;
};

}  // namespace

TEST_CASE("shown: greeting, features with arguments, port; of an address no MX set")
{
    Watched watched(modest);
    CHECK(watched.world.run(mail()).verdicts(0).outcome() == delivered);
    REQUIRE(watched.faces.size() == 1);
    const peers::Face& face = watched.faces[0];
    CHECK(watched.value(0, Aspect::greeting) == "ESMTP Exim 4.96 ready at");
    CHECK(watched.value(0, Aspect::host) == "peer.test");
    CHECK(watched.value(0, Aspect::feature, "SIZE") == "5000000");
    CHECK(watched.value(0, Aspect::feature, "AUTH") == "LOGIN PLAIN");
    CHECK(watched.value(0, Aspect::feature, "PIPELINING") == "offered");
    CHECK(watched.value(0, Aspect::feature, "CHUNKING") == "(none)");
    CHECK(face.clear);
    CHECK(!face.in_tls);
    CHECK(face.port == 25);
    CHECK(face.mx_set.empty());
}

TEST_CASE("shown: the MX set of a domain as the name service has it, whatever a rule or a pool makes of its name")
{
    Watched watched(modest);
    watched.world.names.mx_of["example.test"] = {{10, "B.example.test"}, {20, "a.example.test"}};
    watched.world.names.addresses_of = {{"B.example.test", {"192.0.2.2"}}, {"a.example.test", {"192.0.2.3"}}};
    CHECK(watched.world.run(request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test")).verdicts(0).outcome() == delivered);
    REQUIRE(watched.faces.size() == 1);
    CHECK(watched.faces[0].mx_set == "a.example.test,b.example.test");
}

TEST_CASE("shown: many mails over one session are one look at it; a session that ends in a refusal is one too")
{
    Watched watched(modest);
    watched.world.in_turn = true;
    std::vector<handoff::DeliveryRequest> requests(5, mail());
    (void)watched.world.run(std::move(requests));
    CHECK(watched.world.peer().sessions().size() == watched.faces.size());
    Watched refused(
        "host peer.test\nS 220 $host ESMTP Postfix\non EHLO *\n  S 250-$host\n  S 250 SIZE 7\n  state ready\non MAIL FROM:*\n  S 550 5.7.1 no\n");
    (void)refused.world.run(mail());
    REQUIRE(refused.faces.size() == 1);
    CHECK(refused.value(0, Aspect::feature, "SIZE") == "7");
}
