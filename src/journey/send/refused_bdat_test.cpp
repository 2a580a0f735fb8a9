// A peer that does not discard the octets of a refused BDAT reads them as commands: a body may hold any. None ever gets there.
#include "peers/book.hpp"
#include "send/world_test.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace posthorn;
using namespace posthorn::send;
using namespace std::chrono_literals;

namespace {

/// A message whose lines are what a server would obey. "evil" is in all of them.
std::string body_of(std::mt19937& random)
{
    constexpr std::string_view lines[] = {"RSET evil",
                                          "MAIL FROM:<evil@client.test>",
                                          "RCPT TO:<evil@peer.test>",
                                          "DATA evil",
                                          "EHLO evil.test",
                                          "BDAT 12 LAST evil",
                                          "QUIT evil",
                                          "STARTTLS evil",
                                          "NOOP evil",
                                          "evil",
                                          ".evil",
                                          "VRFY evil"};
    std::string text;
    for (auto count = random() % 30; count > 0; --count) {
        text += lines[random() % std::size(lines)];
        text += "\r\n";
    }
    return text;
}

}  // namespace

TEST_CASE("a peer that executes the octets of a refused BDAT: no command out of a body ever reaches it, whatever was learned before")
{
    SystemClock clock;
    HandClock hand;
    peers::Book book(hand, {});
    unsigned arrived = 0, bounced = 0, contents = 0;
    for (unsigned seed = 1; seed <= 150; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        World world("executes-refused-bdat");
        world.turned = &hand;
        hand.advance(61s);
        world.knowledge = &book;                // one memory for all: nothing of it may lead to the privilege
        world.in_turn = random() % 2 == 0;
        world.memory.keep_segments = random() % 2 == 0;
        std::vector<handoff::DeliveryRequest> requests;
        for (auto mails = 1 + random() % 6; mails > 0; --mails) {
            std::vector<std::string> to;
            for (auto count = 1 + random() % 3; count > 0; --count)
                to.push_back(random() % 2 == 0 ? "unknown@peer.test" : "user@peer.test");
            requests.push_back(request(std::move(to), body_of(random)));
            requests.back().set_connections(1 + random() % 2);
        }
        for (const auto& verdicts : world.run(std::move(requests)))
            for (const auto& verdict : verdicts.verdicts()) {
                arrived += verdict.outcome() == handoff::OUTCOME_DELIVERED;
                bounced += verdict.outcome() == handoff::OUTCOME_BOUNCED;
                CHECK_MESSAGE(verdict.outcome() != handoff::OUTCOME_DEFERRED, verdict.text());
            }
        for (const sim::Session& session : world.peer().sessions()) {
            for (const std::string& line : session.said())
                CHECK_MESSAGE(line.find("evil") == std::string::npos, line);
            contents += static_cast<unsigned>(session.contents.size());
        }
        CHECK(world.peer().faults().empty());
        CHECK(!book.about({{"192.0.2.2", "peer.test", "smtp:[192.0.2.2]"}, "220 peer.test ESMTP", "250 CHUNKING"}).privileges.bdat_first);
    }
    // It went by BDAT, and both ways.
    CHECK(arrived > 0);
    CHECK(bounced > 0);
    CHECK(contents > 0);
}

namespace {

/// A peer that is trusted to discard, by the rule file.
struct Trusting {
    explicit Trusting(World& world)
        : book(clock, {}, [] {
              auto made = std::make_shared<peers::Rules>();
              REQUIRE(made->add("/./ bdat-first\n", "rules"));
              return made;
          }())
    {
        world.knowledge = &book;
        world.in_turn = true;
    }
    SystemClock clock;
    peers::Book book;
};

/// In lines that BDAT may carry: a longer one would send it by DATA.
std::string large()
{
    std::string text = "Subject: large\r\n\r\n";
    for (int line = 0; line < 1000; ++line)
        text += std::string(98, 'x') + "\r\n";
    return text;
}

std::vector<std::string> chunks_of(const sim::Session& session)
{
    std::vector<std::string> chunks;
    for (const std::string& line : session.said())
        if (line.starts_with("BDAT") || line == "RSET")
            chunks.push_back(line);
    return chunks;
}

}  // namespace

TEST_CASE("large mail to a peer that discards: its header goes with the envelope, the rest when the recipients are known, and all of it once")
{
    World world("bdat");
    const Trusting trust(world);
    CHECK(world.run(request({"user@peer.test", "unknown@peer.test"}, large())).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    const sim::Session& session = world.peer().sessions().front();
    REQUIRE(chunks_of(session).size() >= 2);
    CHECK(chunks_of(session)[0] == "BDAT 18");
    CHECK(chunks_of(session)[1] == "BDAT 100000 LAST");
    REQUIRE(session.contents.size() == 2);
    CHECK(session.contents[0] + session.contents[1] == large());
    CHECK(session.turn_of_content[1] == 3);         // greeting, EHLO, the envelope with the header: no round trip more than without it
}

TEST_CASE("large mail nobody is there for costs its header, and the session goes on")
{
    World world("bdat");
    const Trusting trust(world);
    std::vector<handoff::DeliveryRequest> requests;
    requests.push_back(request({"unknown@peer.test"}, large()));
    requests.push_back(request({"user@peer.test"}));
    const auto all = world.run(std::move(requests));
    CHECK(all[0].verdicts(0).status() == "5.1.1");
    CHECK(all[1].verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    REQUIRE(world.peer().sessions().size() == 1);
    CHECK(chunks_of(world.peer().sessions().front())[0] == "BDAT 18");
    CHECK(chunks_of(world.peer().sessions().front())[1] == "RSET");
    CHECK(world.peer().sessions().front().contents.back() == "Subject: x\r\n\r\nhello\r\n");
}

TEST_CASE("large mail whose header is refused has its answer by that, and the rest is not said")
{
    for (const std::string_view reply : {"554 5.6.0 Bad header", "452 4.3.1 No room"}) {
        CAPTURE(reply);
        World world(fmt::format("like bdat\nhost peer.test\nS 220 $host ESMTP\non BDAT 18\n  chunk\n  S {}\n", reply));
        const Trusting trust(world);
        std::vector<handoff::DeliveryRequest> requests;
        requests.push_back(request({"user@peer.test"}, large()));
        requests.push_back(request({"user@peer.test"}));
        const auto all = world.run(std::move(requests));
        CHECK(all[0].verdicts(0).outcome() == (reply.starts_with('5') ? handoff::OUTCOME_BOUNCED : handoff::OUTCOME_DEFERRED));
        CHECK(all[0].verdicts(0).text().find(std::string(reply)) != std::string::npos);
        CHECK(all[1].verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(chunks_of(world.peer().sessions().front())[1] == "RSET");
    }
}

TEST_CASE("FrontBridge, sessions not kept: a session that is to end with its mail or probe still asks first and says QUIT later")
{
    for (const bool probing : {true, false}) {
        World world("frontbridge");
        world.options.keep_sessions = false;
        CHECK(world.run(probing ? probe({"user@peer.test"}) : request({"user@peer.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        REQUIRE(world.peer().sessions().size() == 1);
        for (const std::string& line : world.peer().sessions().front().transcript)
            CHECK((line.find("forgotten") == std::string::npos ||
                   line.find("1 commands") != std::string::npos));    // the RSET before QUIT, when nobody waits
    }
}

TEST_CASE("a peer that refuses the sender and takes the content all the same: the mail may have arrived, so it is not returned")
{
    World world("like bdat\nhost peer.test\nS 220 $host ESMTP\non MAIL FROM:* [in ready]\n  S 501 5.1.7 Bad sender\n  state rcpt\n");
    const Trusting trust(world);
    const auto verdict = world.run(request({"user@peer.test"})).verdicts(0);
    CHECK(verdict.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(verdict.status() == "4.5.0");
    CHECK(verdict.text().find("refused the sender, and took the mail all the same, or may have") != std::string::npos);
    CHECK(world.peer().sessions().size() == 1);                     // and not said again
}

TEST_CASE("a peer that refuses the sender, accepts the recipient, and goes away over the content: likewise; where it refuses the content, not")
{
    for (const bool refuses : {false, true}) {
        World world(fmt::format("like bdat\nhost peer.test\nS 220 $host ESMTP\non MAIL FROM:* [in ready]\n  S 501 5.1.7 Bad sender\n  state rcpt\n"
                                "on BDAT * LAST [in rcpt]\n  chunk\n  {}\n",
                                refuses ? "S 503 5.5.2 Need mail command" : "close"));
        const Trusting trust(world);
        const auto verdict = world.run(request({"user@peer.test"})).verdicts(0);
        CHECK(verdict.outcome() == (refuses ? handoff::OUTCOME_BOUNCED : handoff::OUTCOME_DEFERRED));
    }
}

TEST_CASE("a peer that refuses the sender and discards the content: the mail is returned by the answer to MAIL")
{
    World world("like bdat\nhost peer.test\nS 220 $host ESMTP\non MAIL FROM:* [in ready]\n  S 501 5.1.7 Bad sender\n");
    const Trusting trust(world);
    const auto verdict = world.run(request({"user@peer.test"})).verdicts(0);
    CHECK(verdict.outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(verdict.text().find("501 5.1.7 Bad sender (in reply to MAIL FROM command)") != std::string::npos);
}

TEST_CASE("a peer that goes away over the content, behind a refused recipient: the others are not said the content again")
{
    World world("like bdat\nhost peer.test\nS 220 $host ESMTP\non BDAT * LAST [in rcpt]\n  chunk\n  close\n");
    const Trusting trust(world);
    const auto verdicts = world.run(request({"user@peer.test", "unknown@peer.test"}));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(verdicts.verdicts(1).outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(world.peer().sessions().size() == 1);
    CHECK(world.peer().contents().size() == 1);
}

TEST_CASE(
    "LMTP: behind a sender that was refused, and recipients that were taken, nobody knows how many answers the content has: the session ends there")
{
    World world;
    world.add("/var/lmtp", "host mailbox.test\nS 220 $host LMTP\n"
                           "on LHLO *\n  S 250-$host\n  S 250-PIPELINING\n  S 250 CHUNKING\n  state ready\n"
                           "on MAIL FROM:<bad@*>* [in ready]\n  S 501 5.1.7 Bad sender\n  state bad\n"
                           "on MAIL FROM:* [in ready]\n  S 250 2.1.0 OK\n  state good\n"
                           "on RCPT TO:* [in bad]\n  S 250 2.1.5 OK\non RCPT TO:* [in good]\n  S 250 2.1.5 OK\n"
                           "on BDAT * LAST [in bad]\n  chunk\n  S 250 2.0.0 <first> Saved\n  S 250 2.0.0 <second> Saved\n  state ready\n"
                           "on BDAT * LAST [in good]\n  chunk\n  S 552 5.2.2 Quota exceeded\n  state ready\n"
                           "on RSET\n  S 250 2.0.0 OK\n  state ready\non QUIT\n  S 221 2.0.0 OK\n  close\non *\n  S 500 5.5.2 Unknown command\n");
    world.options.lmtp = true;
    const Trusting trust(world);
    world.in_turn = false;
    const std::string content = "Subject: x\r\n\r\nx\r\n";
    std::vector<handoff::DeliveryRequest> requests{request({"a@example.test", "b@example.test"}, content, "unix:/var/lmtp"),
                                                   request({"c@example.test"}, content, "unix:/var/lmtp")};
    requests[0].mutable_envelope()->set_sender("bad@client.test");
    const auto verdicts = world.run(std::move(requests));
    for (const auto& verdict : verdicts[0].verdicts()) {
        CHECK(verdict.outcome() == handoff::OUTCOME_DEFERRED);
        CHECK(verdict.text().find("refused the sender, and took the mail all the same, or may have") != std::string::npos);
    }
    CHECK(verdicts[1].verdicts(0).outcome() != handoff::OUTCOME_DELIVERED);     // "<second> Saved" was not about it
}
