// XFORWARD as client: told of whom the mail is, where it was announced and asked for.
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

constexpr std::string_view filter = R"(
    product a filter that logs whose the mail is
    expect  mail arrives
    host peer.test
    on EHLO *
      S 250-$host
      S 250-PIPELINING
      S 250 XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT
      state ready
    on XFORWARD*
      S 250 2.0.0 Ok
    like data-only
)";

handoff::DeliveryRequest mail_of_a_client(std::string to = "user@example.test")
{
    auto made = request({std::move(to)});
    handoff::Client& client = *made.mutable_envelope()->mutable_client();
    client.set_name("client.test");
    client.set_address("192.0.2.7");
    client.set_port(4711);
    client.set_helo("helo.test");
    client.set_protocol("ESMTPS");
    return made;
}

std::vector<std::string> said(World& world) { return world.peer().sessions().front().said(); }

}  // namespace

TEST_CASE("XFORWARD rides with the envelope and costs no turn; each mail of a session has its own")
{
    World world(filter);
    world.options.send_xforward = true;
    world.options.contents_in_flight = 1;
    auto second = request({"other@example.test"});
    second.mutable_envelope()->set_queue_id("Q2");
    handoff::Origin& origin = *second.mutable_envelope()->mutable_origin();
    origin.set_name("far.test");
    origin.set_ident("ABC");
    origin.set_source("REMOTE");
    world.in_turn = true;
    std::vector<handoff::DeliveryRequest> requests{mail_of_a_client(), std::move(second)};
    for (const auto& verdicts : world.run(std::move(requests)))
        CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    REQUIRE(world.peer().sessions().size() == 1);
    const auto lines = said(world);
    CHECK(lines == std::vector<std::string>{"EHLO client.test", "XFORWARD NAME=client.test ADDR=192.0.2.7 PORT=4711",
                                            "XFORWARD HELO=helo.test IDENT=4gDq8v1Yc0z3D PROTO=ESMTP SOURCE=REMOTE", "MAIL FROM:<sender@client.test>",
                                            "RCPT TO:<user@example.test>", "DATA", "XFORWARD NAME=far.test", "XFORWARD IDENT=ABC SOURCE=REMOTE",
                                            "MAIL FROM:<sender@client.test>", "RCPT TO:<other@example.test>", "DATA", "RSET", "QUIT"});
    World plain(filter);
    plain.options.contents_in_flight = 1;
    CHECK(plain.run(mail_of_a_client()).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(world.peer().sessions().front().turn_of_content.front() == plain.peer().sessions().front().turn_of_content.front());
}

TEST_CASE("XFORWARD: a server without PIPELINING is told each part once")
{
    for (const std::string_view answer : {"2.0.0 Ok", "5.7.0 no"}) {
        std::string script(filter);
        script.erase(script.find("      S 250-PIPELINING\n"), std::string_view("      S 250-PIPELINING\n").size());
        if (answer != "2.0.0 Ok")
            script.replace(script.find("250 2.0.0 Ok"), 12, "550 5.7.0 no");
        World world(script);
        world.options.send_xforward = true;
        CHECK(world.run(mail_of_a_client()).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        const auto lines = said(world);
        CHECK(std::vector<std::string>(lines.begin(), lines.begin() + 4) ==
              std::vector<std::string>{"EHLO client.test", "XFORWARD NAME=client.test ADDR=192.0.2.7 PORT=4711",
                                       "XFORWARD HELO=helo.test IDENT=4gDq8v1Yc0z3D PROTO=ESMTP SOURCE=REMOTE", "MAIL FROM:<sender@client.test>"});
    }
}

TEST_CASE("XFORWARD: a server that refuses it has the mail all the same, and the log says so")
{
    World world(std::string(filter).replace(filter.find("2.0.0 Ok") - 4, 12, "550 5.7.0 not you"));
    world.options.send_xforward = true;
    const auto verdicts = world.run(mail_of_a_client());
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(std::ranges::count_if(world.log->lines, [](const std::string& line) {
              return line.ends_with("warning: host 192.0.2.2[192.0.2.2]:25 said: 550 5.7.0 not you (in reply to XFORWARD name/address command)");
          }) == 1);
}

TEST_CASE("XFORWARD is not said unasked, nor to who does not announce it, nor of a probe")
{
    World silent(filter);
    CHECK(silent.run(mail_of_a_client()).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(std::ranges::none_of(said(silent), [](const std::string& line) { return line.starts_with("XFORWARD"); }));
    World other("data-only");
    other.options.send_xforward = true;
    CHECK(other.run(mail_of_a_client()).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(std::ranges::none_of(said(other), [](const std::string& line) { return line.starts_with("XFORWARD"); }));
    World asked(filter);
    asked.options.send_xforward = true;
    CHECK(asked.run(probe({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(std::ranges::none_of(said(asked), [](const std::string& line) { return line.starts_with("XFORWARD"); }));
}
