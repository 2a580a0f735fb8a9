// LIMITS (RFC 9422) as a client: what a server says it counts is kept, and nothing is lost by it.
#include "base/strings.hpp"
#include "peers/book.hpp"
#include "send/world_test.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace posthorn;
using namespace posthorn::send;

namespace {

std::string announces(std::string_view limits, std::string_view more = "")
{
    return fmt::format(
        "host peer.test\nlike bdat\nS 220 $host ESMTP\non EHLO *\n  S 250-$host\n  S 250-PIPELINING\n{}  S 250 LIMITS {}\n  state ready\n", more,
        limits);
}

/// MAIL commands of a session, RCPT commands of its largest transaction, domains in all its RCPT commands.
struct Counted {
    explicit Counted(const sim::Session& session)
    {
        unsigned now = 0;
        for (const std::string& line : session.said()) {
            if (line.starts_with("MAIL")) {
                ++mails;
                now = 0;
            }
            if (!line.starts_with("RCPT"))
                continue;
            recipients = std::max(recipients, ++now);
            const auto at = line.find('@');
            domains.insert(to_lower(line.substr(at, line.find('>') - at)));
        }
    }
    unsigned mails = 0, recipients = 0;
    std::set<std::string> domains;
};

bool all_delivered(const std::vector<handoff::Verdicts>& all)
{
    for (const auto& one : all)
        for (const auto& verdict : one.verdicts())
            if (verdict.outcome() != handoff::OUTCOME_DELIVERED)
                return false;
    return true;
}

std::vector<std::string> five() { return {"a@one.test", "b@one.test", "c@one.test", "d@one.test", "e@one.test"}; }

}  // namespace

TEST_CASE("LIMITS RCPTMAX: mail and probes of more recipients go in several transactions of one session")
{
    for (const bool probing : {false, true})
        for (const char* more : {"", "  S 250-CHUNKING\n"}) {
            CAPTURE(probing);
            World world(announces("RCPTMAX=2", more));
            CHECK(all_delivered({world.run(probing ? probe(five()) : request(five()))}));
            REQUIRE(world.peer().sessions().size() == 1);
            const Counted counted(world.peer().sessions()[0]);
            CHECK(counted.recipients == 2);
            CHECK(counted.mails == 3);
            CHECK(world.peer().contents().size() == (probing ? 0 : 3));
            CHECK(world.peer().faults().empty());
        }
}

TEST_CASE("LIMITS MAILMAX: a session takes so many mails, refused ones counted; the next go over another")
{
    for (const bool probing : {false, true})
        for (const bool in_turn : {false, true}) {
            CAPTURE(probing);
            CAPTURE(in_turn);
            World world(announces("MAILMAX=2"));
            world.in_turn = in_turn;
            std::vector<handoff::DeliveryRequest> requests;
            for (int i = 0; i < 5; ++i) {
                requests.push_back(probing ? probe({"user@one.test"}) : request({"user@one.test"}));
                requests.back().set_connections(1);
            }
            CHECK(all_delivered(world.run(std::move(requests))));
            CHECK(world.peer().sessions().size() == 3);
            for (const sim::Session& session : world.peer().sessions())
                CHECK(Counted(session).mails <= 2);
            CHECK(world.peer().contents().size() == (probing ? 0 : 5));
        }
}

TEST_CASE("LIMITS MAILMAX counts a MAIL that was refused")
{
    World world(
        "host peer.test\nlike bdat\nS 220 $host ESMTP\non EHLO *\n  S 250-$host\n  S 250-PIPELINING\n  S 250 LIMITS MAILMAX=2\n  state ready\n"
        "on MAIL FROM:<bad@client.test>*\n  S 450 4.7.1 not you\n");
    world.in_turn = true;
    std::vector<handoff::DeliveryRequest> requests;
    for (const char* sender : {"bad@client.test", "good@client.test", "good@client.test"}) {
        requests.push_back(request({"user@one.test"}));
        requests.back().mutable_envelope()->set_sender(sender);
        requests.back().set_connections(1);
    }
    const auto all = world.run(std::move(requests));
    CHECK(all[0].verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(all[1].verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(all[2].verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    for (const sim::Session& session : world.peer().sessions())
        CHECK(Counted(session).mails <= 2);
}

TEST_CASE("LIMITS RCPTDOMAINMAX: recipients of other domains go over another session, in one delivery and in the next ones")
{
    const std::vector<std::string> mixed{"a@one.test", "b@two.test", "c@ONE.test", "d@three.test"};
    for (const bool probing : {false, true}) {
        CAPTURE(probing);
        World world(announces("RCPTDOMAINMAX=1"));
        CHECK(all_delivered({world.run(probing ? probe(mixed) : request(mixed))}));
        CHECK(world.peer().sessions().size() == 3);
        for (const sim::Session& session : world.peer().sessions())
            CHECK(Counted(session).domains.size() == 1);
    }
    World world(announces("RCPTDOMAINMAX=1"));
    std::vector<handoff::DeliveryRequest> requests;
    for (const std::string& address : mixed) {
        requests.push_back(request({address}));
        requests.back().set_connections(1);
    }
    CHECK(all_delivered(world.run(std::move(requests))));
    CHECK(world.peer().contents().size() == 4);
    for (const sim::Session& session : world.peer().sessions())
        CHECK(Counted(session).domains.size() == 1);
}

TEST_CASE("LIMITS: what the administrator discards is not heard")
{
    World world(announces("RCPTMAX=2 MAILMAX=1"));
    world.options.discard = smtp::parse_discard_list("limits, silent-discard");
    CHECK(all_delivered({world.run(request(five()))}));
    REQUIRE(world.peer().sessions().size() == 1);
    CHECK(Counted(world.peer().sessions()[0]).recipients == 5);
}

TEST_CASE("limits: a probe of more recipients than an unannounced limit allows asks about the others again; a full mailbox stays an answer (exim4)")
{
    const auto script = [](std::string_view refusal) {
        return fmt::format("host peer.test\nlike no-pipelining\nS 220 $host ESMTP\non EHLO *\n  S 250-$host\n  S 250 PIPELINING\n  state ready\n"
                           "on MAIL*\n  S 250 OK\n  state none\non RCPT TO:<d@*\n  S 550 unknown\non RCPT* [in none]\n  S 250 Accepted\n  state one\n"
                           "on RCPT* [in one]\n  S 250 Accepted\n  state two\non RCPT* [in two]\n  S {}\n",
                           refusal);
    };
    World world(script("452 too many recipients"));
    const auto all = world.run(probe(five()));
    for (const auto& verdict : all.verdicts())
        CHECK(verdict.outcome() == (verdict.recipient() == 3 ? handoff::OUTCOME_UNDELIVERABLE : handoff::OUTCOME_DELIVERED));
    CHECK(all.verdicts_size() == 5);
    REQUIRE(world.peer().sessions().size() == 1);
    CHECK(Counted(world.peer().sessions()[0]).mails == 2);
    CHECK(world.peer().faults().empty());
    World full(script("452 4.2.2 Over quota"));
    CHECK(full.run(probe(five())).verdicts(2).outcome() == handoff::OUTCOME_DEFERRED);
}

TEST_CASE("limits: mail keeps to a limit that the peer named once; a full mailbox teaches none")
{
    const auto played = [](std::string_view refusal) {
        SystemClock clock;
        peers::Book book(clock, {});
        World world(fmt::format("host peer.test\nlike data-only\nS 220 $host ESMTP\n"
                                "on RCPT* [in rcpt]\n  S 250 Accepted\n  state full\non RCPT* [in full]\n  S {}\n"
                                "on DATA [in full]\n  S 354 go on\n  content\n  S 250 OK\n  state ready\n",
                                refusal));
        world.knowledge = &book;
        const auto first = world.run(request({"a@one.test", "b@one.test", "c@one.test"}));
        CHECK(first.verdicts(2).outcome() == handoff::OUTCOME_DEFERRED);
        const auto second = world.run(request({"a@one.test", "b@one.test", "c@one.test"}));
        for (int i = 0; i < 2; ++i)
            CHECK(second.verdicts(i).outcome() == handoff::OUTCOME_DELIVERED);
        return second.verdicts(2).outcome();
    };
    CHECK(played("452 4.5.3 Error: too many recipients") == handoff::OUTCOME_DELIVERED);
    CHECK(played("452 4.2.2 Mailbox full") == handoff::OUTCOME_DEFERRED);
}

TEST_CASE("LIMITS MAILMAX, and a peer that takes one recipient for each MAIL from <>: no session says a MAIL too many, whatever is asked together")
{
    for (const unsigned most : {1U, 2U, 3U}) {
        CAPTURE(most);
        SystemClock clock;
        auto rules = std::make_shared<peers::Rules>();
        REQUIRE(rules->add("/./ one-rcpt-null-sender\n", "rules"));
        peers::Book book(clock, {}, rules);
        World world(announces(fmt::format("MAILMAX={}", most)));
        world.knowledge = &book;
        std::vector<handoff::DeliveryRequest> requests;
        for (int i = 0; i < 3; ++i) {
            requests.push_back(probe(five()));
            requests.back().mutable_envelope()->set_sender("");
            requests.back().set_connections(1);
        }
        CHECK(all_delivered(world.run(std::move(requests))));
        for (const sim::Session& session : world.peer().sessions()) {
            CHECK(Counted(session).mails <= most);
            CHECK(Counted(session).recipients == 1);
        }
    }
}
