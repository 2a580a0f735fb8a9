// A MAIL that is said for the next probe while nobody waits: what it saves, and that it is nobody's verdict.
#include "peers/book.hpp"
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

std::string verb_line_of(const sim::Session& session)
{
    std::string verbs;
    for (const std::string& line : session.said())
        verbs += (verbs.empty() ? "" : " ") + line.substr(0, line.find(' '));
    return verbs;
}

std::vector<handoff::DeliveryRequest> probes_of(const std::vector<std::string>& senders)
{
    std::vector<handoff::DeliveryRequest> all;
    for (const std::string& sender : senders) {
        all.push_back(probe({"user@peer.test"}));
        all.back().mutable_envelope()->set_sender(sender);
        all.back().set_connections(1);
    }
    return all;
}

}  // namespace

TEST_CASE("no PIPELINING: from the second probe on the MAIL of the next one is said while nobody waits; one from another sender takes it back")
{
    World world("no-pipelining");
    world.in_turn = true;
    for (const auto& verdicts : world.run(probes_of({"a", "a", "a", "a", "b", "a"})))
        CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(world.peer().faults().empty());
    REQUIRE(world.peer().sessions().size() == 1);
    CHECK(verb_line_of(world.peer().sessions().front()) ==
          "EHLO MAIL RCPT RSET MAIL RCPT RSET MAIL RCPT RSET MAIL RCPT RSET MAIL RSET MAIL RCPT RSET MAIL RSET MAIL RCPT RSET MAIL QUIT");
    World once("no-pipelining");                                    // a lone question leaves nothing open
    once.run(probe({"user@peer.test"}));
    CHECK(verb_line_of(once.peer().sessions().front()) == "EHLO MAIL RCPT RSET QUIT");
    World grouped("data-only");                                     // there a MAIL costs nothing
    grouped.in_turn = true;
    (void)grouped.run(probes_of({"a", "a", "a"}));
    CHECK(verb_line_of(grouped.peer().sessions().front()) == "EHLO MAIL RCPT RSET MAIL RCPT RSET MAIL RCPT RSET QUIT");
}

TEST_CASE("no PIPELINING: a MAIL said for the next probe that is refused, hung up on or answered 421 is nobody's verdict")
{
    for (const char* third : {"  S 550 5.7.1 no\n", "  S 450 4.7.1 later\n", "  close\n", "  S 421 4.3.2 enough\n  close\n", "  reset\n"}) {
        CAPTURE(third);
        SystemClock clock;
        peers::Book book(clock, {});
        World world(fmt::format("like no-pipelining\nhost peer.test\nS 220 $host ESMTP\non MAIL* [nth 3]\n{}", third));
        world.knowledge = &book;
        world.in_turn = true;
        for (const auto& verdicts : world.run(probes_of({"a", "a", "a", "a"})))
            CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(book.about({{"192.0.2.2", "peer.test", "smtp:[192.0.2.2]"}, {}, {}, {}}).quirks.empty());
    }
    // Gone while it stood open: the question goes to another session.
    World gone("like no-pipelining\nhost peer.test\nS 220 $host ESMTP\non RCPT* [nth 3]\n  close\n");
    gone.in_turn = true;
    for (const auto& verdicts : gone.run(probes_of({"a", "a", "a"})))
        CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(gone.peer().sessions().size() == 2);
}
