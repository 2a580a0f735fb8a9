// What a server announces, and what a mail needs of it: keywords, parameters, SMTPUTF8, size, lines, 8-bit content.
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

TEST_CASE("EHLO keywords: what the administrator discards is not used, and said once per session")
{
    World world("exchange-2007");
    world.options.discard = smtp::parse_discard_list("pipelining, chunking");
    CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(lines_of(world, "discarding EHLO keywords: PIPELINING CHUNKING").size() == 1);
    CHECK(world.peer().sessions().front().turn_of_content.front() == 5);  // greeting, EHLO, MAIL, RCPT, DATA
    World silent("frontbridge");
    silent.options.quit_in_group = true;
    silent.options.discard = smtp::parse_discard_list("silent-discard, pipelining");
    CHECK(silent.run(probe({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);   // the workaround of the seed's page
    CHECK(lines_of(silent, "discarding").empty());
}

TEST_CASE("parameters go only to peers that offer them; SMTPUTF8 that is needed and missing returns the mail")
{
    auto full = request({"user@example.test"});
    full.mutable_envelope()->set_ret(handoff::RET_HDRS);
    full.mutable_envelope()->set_envid("id+1");
    full.mutable_envelope()->set_body(handoff::BODY_8BIT);
    full.mutable_envelope()->mutable_recipients(0)->set_notify(handoff::NOTIFY_SUCCESS | handoff::NOTIFY_FAILURE);
    full.mutable_envelope()->mutable_recipients(0)->set_orcpt("rfc822;other@example.test");
    World offers("data-only");
    offers.run(full);
    CHECK(offers.peer().sessions().front().said()[1] == "MAIL FROM:<sender@client.test> SIZE=21 BODY=8BITMIME RET=HDRS ENVID=id+2B1");
    CHECK(offers.peer().sessions().front().said()[2] == "RCPT TO:<user@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;other@example.test");
    World bare("helo-only");
    bare.run(full);
    CHECK(bare.peer().sessions().front().said()[2] == "MAIL FROM:<sender@client.test>");
    CHECK(bare.peer().sessions().front().said()[3] == "RCPT TO:<user@example.test>");

    auto utf8 = request({"user@example.test"});
    utf8.mutable_envelope()->set_smtputf8(true);
    World without("seven-bit");
    const auto verdict = without.run(utf8).verdicts(0);
    CHECK(verdict.status() == "5.6.7");
    CHECK(verdict.text() == "SMTPUTF8 is required, but was not offered by host 192.0.2.2[192.0.2.2]");
    World with("data-only");
    CHECK(with.run(utf8).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(with.peer().sessions().front().said()[1].ends_with(" SMTPUTF8"));
}

TEST_CASE("SMTPUTF8: a server that has EHLO and refuses it once is not taken for one that lacks it")
{
    auto utf8 = request({"user@example.test"});
    utf8.mutable_envelope()->set_smtputf8(true);
    const auto refusing = [](std::string_view reply) {
        return fmt::format("on EHLO *\n S {}\non HELO *\n S 250 ok\n state ready\nlike data-only", reply);
    };
    for (const std::string_view unknown : {"500 5.5.1 what?", "502 5.5.1 not here"}) {
        World world(refusing(unknown));
        CHECK(world.run(utf8).verdicts(0).status() == "5.6.7");     // a server from before RFC 1869
    }
    for (const std::string_view refused : {"451 4.3.0 not now", "503 5.5.1 not yet", "550 5.7.1 not you"}) {
        World world(refusing(refused));
        const auto verdict = world.run(utf8).verdicts(0);
        CHECK(verdict.outcome() == handoff::OUTCOME_DEFERRED);
        CHECK(verdict.status() == "4.6.7");
    }
}

TEST_CASE("mail over the announced size is returned before it is sent")
{
    World world("S 220 p\non EHLO *\n S 250-p\n S 250 SIZE 20\non QUIT\n S 221 bye\n close");
    const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
    CHECK(verdict.outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(verdict.status() == "5.3.4");
    CHECK(verdict.text() == "message size 21 exceeds size limit 20 of server 192.0.2.2[192.0.2.2]");
}

TEST_CASE("lines that begin with a dot, or are too long, arrive as they were meant")
{
    const std::string content = "Subject: x\r\n\r\n.\r\n..a\r\n" + std::string(1200, 'y') + "\r\n.last\r\n";
    World world("data-only");
    CHECK(world.run(request({"user@example.test"}, content)).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    const std::string folded = "Subject: x\r\n\r\n.\r\n..a\r\n" + std::string(998, 'y') + "\r\n " + std::string(202, 'y') + "\r\n.last\r\n";
    CHECK(world.peer().contents() == std::vector<std::string>{folded});
}

TEST_CASE("8-bit content goes converted to a peer without 8BITMIME, and as it is to one that has it")
{
    auto eight = request(
        {"user@example.test"},
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9f\x65\r\n");
    eight.mutable_envelope()->set_body(handoff::BODY_8BIT);
    World seven("seven-bit");
    CHECK(seven.run(eight).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    REQUIRE(seven.peer().contents().size() == 1);
    CHECK(seven.peer().contents().front().find("gr=C3=BC=C3=9Fe") != std::string::npos);
    CHECK(seven.peer().contents().front().find("quoted-printable") != std::string::npos);
    CHECK(seven.peer().sessions().front().said()[1].find("BODY") == std::string::npos);
    World unsaid("seven-bit");                                   // MAIL without BODY, as most is
    eight.mutable_envelope()->set_body(handoff::BODY_7BIT);
    CHECK(unsaid.run(eight).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(unsaid.peer().contents() == seven.peer().contents());
    eight.mutable_envelope()->set_body(handoff::BODY_8BIT);
    World able("data-only");
    CHECK(able.run(eight).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(able.peer().contents().front() == eight.content().inline_octets());
}
