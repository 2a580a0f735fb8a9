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
    unsigned delivered = 0, bounced = 0, contents = 0;
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
                delivered += verdict.outcome() == handoff::OUTCOME_DELIVERED;
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
    CHECK(delivered > 0);
    CHECK(bounced > 0);
    CHECK(contents > 0);
}
