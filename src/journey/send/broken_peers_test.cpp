// Peers that break the rules, met with an empty memory and again with a warm one: the right verdict, the quirk found, no table written.
#include "peers/book.hpp"
#include "send/wire_tls.hpp"
#include "send/world_test.hpp"
#include "sim/tls_server.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;
using namespace std::chrono_literals;

namespace {

/// A world whose agent learns. The clock is turned by hand, so that a minute between two attempts takes no time.
struct Learning : World {
    explicit Learning(std::string_view script, peers::Learning mode = peers::Learning::yes, std::shared_ptr<const peers::Rules> rules = nullptr)
        : World(script), book(hand, {.learning = mode}, std::move(rules))
    {
        turned = &hand;
        knowledge = &book;
        options.timeouts.mail = options.timeouts.rcpt = options.timeouts.data_init = options.timeouts.data_done = options.timeouts.quit =
            options.timeouts.rset = seconds(1);
        options.timeouts.helo = options.timeouts.starttls = seconds(1);
        book.on_event = [this](const peers::Event& event) { told.push_back(peers::text_of(event)); };
    }
    handoff::Verdict deliver(handoff::DeliveryRequest what)
    {
        hand.advance(61s);
        const auto all = run(std::move(what));
        return all.verdicts(0);
    }
    std::string quirks() { return book.about({{"192.0.2.2", host(), "smtp:[192.0.2.2]"}, "220 x", {}}).quirks.text(); }
    std::string host() { return peer().script().host; }
    std::vector<std::string> last_session() { return peer().sessions().back().said(); }
    std::size_t sessions() { return peer().sessions().size(); }

    HandClock hand;
    peers::Book book;
    std::vector<std::string> told;
};

}  // namespace

TEST_CASE(
    "FrontBridge, all three recorded hosts: mail and probe at the first attempt, pipelining on; the lone 221 is seen when nobody waits, learned, and kept")
{
    for (const char* name : {"frontbridge", "frontbridge-db3-006", "frontbridge-db3-003", "exchange-2010-sp1"}) {
        CAPTURE(name);
        Learning world(name);
        CHECK(world.deliver(probe({"receiver@example.com"})).text() == "250 2.1.5 Recipient OK");
        CHECK(world.sessions() == 1);
        CHECK(world.peer().sessions().front().turns == 4);      // greeting, EHLO, the envelope, the lone 221
        CHECK(world.told.size() == 1);
        CHECK(world.told.front().find("learned quit-alone: RSET QUIT: 221") != std::string::npos);
        CHECK(world.told.front().find("\"192.0.2.2 silent-discard, pipelining\"") != std::string::npos);
        CHECK(world.quirks() == "quit-alone");
        CHECK(world.deliver(mail()).outcome() == delivered);
        CHECK(world.sessions() == 2);
        const auto said = world.last_session();
        CHECK(said[1].starts_with("MAIL"));
        CHECK(said.back() == "QUIT");
        CHECK(std::ranges::count(said, "RSET") == 0);
        CHECK(world.told.size() == 1);
        CHECK(world.peer().faults().empty());
    }
}

TEST_CASE("FrontBridge with Postfix's grouping: the failure of the seed, recovered within the attempt, learned, and not met again")
{
    for (const char* name : {"frontbridge", "frontbridge-db3-006", "frontbridge-db3-003", "exchange-2010-sp1"}) {
        CAPTURE(name);
        Learning world(name);
        world.options.quit_in_group = true;
        CHECK(world.deliver(probe({"receiver@example.com"})).outcome() == delivered);
        REQUIRE(world.sessions() == 2);
        CHECK(world.peer().sessions()[0].said() == std::vector<std::string>{"EHLO client.test", "QUIT"});      // all it saw of the group
        CHECK(world.last_session().back() == "QUIT");
        CHECK(world.told.size() == 1);
        CHECK(world.told.front().find("learned quit-alone: MAIL RCPT RSET QUIT: 221; QUIT now travels alone, until 2026-01-08 00:01 UTC") !=
              std::string::npos);
        CHECK(world.deliver(probe({"unknown@example.com"})).outcome() == handoff::OUTCOME_UNDELIVERABLE);
        CHECK(world.sessions() == 3);
        CHECK(world.deliver(mail()).outcome() == delivered);
        CHECK(world.peer().contents().size() == 1);
        CHECK(world.sessions() == 4);
    }
}

TEST_CASE("FrontBridge with Postfix's grouping: mail is taken at the first attempt even where nothing is known, by DATA and by BDAT")
{
    for (const bool chunking : {false, true}) {
        Learning world("frontbridge");
        world.options.quit_in_group = true;
        world.options.chunking = chunking;
        CHECK(world.deliver(mail()).outcome() == delivered);
        CHECK(world.sessions() == 1);
        CHECK(world.peer().contents().size() == 1);
    }
}

TEST_CASE("learning = report: the seed's failure stays, the line in the log says what would change; learning = no: as without")
{
    for (const auto mode : {peers::Learning::report, peers::Learning::no}) {
        Learning world("frontbridge", mode);
        world.options.quit_in_group = true;
        const auto verdict = world.deliver(probe({"receiver@example.com"}));
        CHECK(verdict.text() == "lost connection with 192.0.2.2[192.0.2.2] while sending RCPT TO");
        CHECK(world.sessions() == 1);
        CHECK(world.told.size() == (mode == peers::Learning::report ? 1 : 0));
    }
}

TEST_CASE("a probe group of many at FrontBridge: one loss, one lesson, and every address has its answer")
{
    Learning world("frontbridge");
    world.options.quit_in_group = true;
    world.hand.advance(61s);
    std::vector<handoff::DeliveryRequest> requests;
    for (int i = 0; i < 20; ++i) {
        requests.push_back(probe({(i % 4 == 0 ? "unknown" : "user") + std::to_string(i) + "@example.com"}));
        requests.back().set_connections(1);
    }
    for (const auto& verdicts : world.run(std::move(requests)))
        CHECK_MESSAGE(verdicts.verdicts(0).outcome() == delivered, verdicts.verdicts(0).text());
    CHECK(world.told.size() == 1);
}

TEST_CASE("one replay a minute for a site: what comes within it waits for its schedule")
{
    Learning world("calls-groups-improper");
    world.book.may_replay("smtp:[192.0.2.2]");
    world.hand.advance(-61s);                                   // deliver() turns the clock: the minute is not over
    const auto verdict = world.deliver(mail());
    CHECK(verdict.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(world.sessions() == 1);
    CHECK(world.quirks() == "one-command-per-flight");
    CHECK(world.deliver(mail()).outcome() == delivered);
}

TEST_CASE("signatures: the attempt in hand goes on with the feature off, and the next session knows")
{
    struct Row {
        const char* peer;
        const char* quirk;
    };
    for (const Row& row :
         {Row{"refuses-groups", "one-command-per-flight"}, Row{"calls-groups-improper", "one-command-per-flight"},
          Row{"merges-replies", "one-command-per-flight"}, Row{"refuses-size", "no-param(SIZE)"}, Row{"refuses-parameters", "no-param(SIZE)"}}) {
        CAPTURE(row.peer);
        Learning world(row.peer);
        const auto verdict = world.deliver(mail());
        CHECK_MESSAGE(verdict.outcome() == delivered, verdict.text());
        CHECK(world.sessions() == 2);
        CHECK(world.quirks() == row.quirk);
        CHECK(world.told.size() == 1);
        CHECK(world.deliver(mail()).outcome() == delivered);
        CHECK(world.sessions() == 3);
        CHECK(world.peer().contents().size() == 2);
    }
}

TEST_CASE("silence and loss: each attempt recovers at once, and the third sighting convicts; then nothing is lost any more")
{
    struct Row {
        const char* peer;
        const char* quirk;
    };
    for (const Row& row :
         {Row{"closes-at-quit-group", "quit-alone"}, Row{"hangs-at-grouped-data", "data-alone"}, Row{"closes-at-grouped-data", "data-alone"},
          Row{"reads-one-line", "one-command-per-flight"}, Row{"closes-at-ehlo", "helo-only"}}) {
        CAPTURE(row.peer);
        Learning world(row.peer);
        world.options.quit_in_group = row.quirk == std::string_view("quit-alone");
        const auto next = [&] { return world.options.quit_in_group ? probe({"user@example.test"}) : mail(); };
        std::size_t attempts = 0;
        for (; attempts < 8 && world.told.empty(); ++attempts) {
            const std::size_t before = world.sessions();
            const auto verdict = world.deliver(next());
            CHECK_MESSAGE(verdict.outcome() == delivered, verdict.text());
            CHECK(world.sessions() == before + 2);
        }
        CHECK(attempts == 3);
        REQUIRE(world.told.size() == 1);
        CHECK(world.told.front().find(row.quirk) != std::string::npos);
        const std::size_t before = world.sessions();
        CHECK(world.deliver(next()).outcome() == delivered);
        CHECK(world.sessions() == before + 1);
    }
}

TEST_CASE("content-stage faults: never a replay; the next scheduled attempt goes without the feature")
{
    const std::string big = "Subject: big\r\n\r\n" + std::string(500, 'x') + "\r\n";
    std::string bigger = "Subject: big\r\n\r\n";
    while (bigger.size() < 12'000)
        bigger += std::string(60, 'x') + "\r\n";
    Learning world("bdat-stalls");
    CHECK(world.deliver(request({"user@example.test"}, big)).outcome() == delivered);
    for (int i = 0; i < 3; ++i) {
        const std::size_t before = world.sessions();
        const auto stalled = world.deliver(request({"user@example.test"}, bigger));
        if (stalled.outcome() == delivered)
            break;                                              // convicted
        CHECK(stalled.outcome() == handoff::OUTCOME_DEFERRED);
        CHECK(world.sessions() == before + 1);
        CHECK(world.deliver(request({"user@example.test"}, bigger)).outcome() == delivered);
        CHECK(world.last_session()[3] == "DATA");
    }
    CHECK(world.deliver(request({"user@example.test"}, big)).outcome() == delivered);
    CHECK(world.last_session()[3].starts_with("BDAT"));         // small content goes on as before

    Learning refuses("refuses-bdat");
    const auto refused = refuses.deliver(mail());
    CHECK(refused.outcome() != delivered);
    CHECK(refused.outcome() == handoff::OUTCOME_DEFERRED);      // 502 to an announced command says nothing about the mail
    CHECK(refuses.sessions() == 1);
    CHECK(refuses.quirks() == "no-bdat");
    CHECK(refuses.deliver(mail()).outcome() == delivered);
}

TEST_CASE("a peer that executes the octets of a refused BDAT never sees a command out of a body, and is never trusted with more")
{
    Learning world("executes-refused-bdat");
    const std::string body = "Subject: x\r\n\r\nMAIL FROM:<forged@example.test>\r\nRCPT TO:<victim@example.test>\r\nQUIT\r\n";
    for (int i = 0; i < 3; ++i) {
        CHECK(world.deliver(request({"unknown@example.test"}, body)).outcome() == handoff::OUTCOME_BOUNCED);
        CHECK(world.deliver(request({"user@example.test"}, body)).outcome() == delivered);
    }
    for (const sim::Session& session : world.peer().sessions())
        for (const std::string& line : session.said()) {
            CHECK(line.find("forged") == std::string::npos);
            CHECK(line.find("victim") == std::string::npos);
        }
}

TEST_CASE("probe: a server that takes one recipient for a bounce gives each its own answer, none is called dead for it")
{
    Learning world("one-recipient-per-bounce");
    auto three = probe({"a@example.test", "unknown@example.test", "c@example.test"});
    three.mutable_envelope()->clear_sender();
    world.hand.advance(61s);
    const auto verdicts = world.run(three);
    CHECK(verdicts.verdicts(0).outcome() == delivered);
    CHECK(verdicts.verdicts(1).outcome() == handoff::OUTCOME_UNDELIVERABLE);
    CHECK(verdicts.verdicts(1).text().find("5.1.1") != std::string::npos);
    CHECK_MESSAGE(verdicts.verdicts(2).outcome() == delivered, verdicts.verdicts(2).text());
    CHECK(world.quirks() == "one-rcpt-null-sender");
}

TEST_CASE("probe: the same said by 452, whichever recipient comes first: it is a matter of bounces, and no limit of other mail")
{
    for (const bool unknown_first : {true, false}) {
        CAPTURE(unknown_first);
        Learning world(
            "like one-recipient-per-bounce\nhost peer.test\nS 220 $host ESMTP\non RCPT TO:* [in bounced]\n  S 452 4.5.3 One recipient only\n");
        for (int times = 0; times < 3; ++times) {
            auto three = probe({unknown_first ? "unknown@example.test" : "a@example.test", unknown_first ? "a@example.test" : "unknown@example.test",
                                "c@example.test"});
            three.mutable_envelope()->clear_sender();
            world.hand.advance(61s);
            const auto verdicts = world.run(three);
            for (int i = 0; i < 3; ++i)
                CHECK_MESSAGE(verdicts.verdicts(i).outcome() == (i == (unknown_first ? 0 : 1) ? handoff::OUTCOME_UNDELIVERABLE : delivered),
                              verdicts.verdicts(i).text());
        }
        CHECK(world.quirks() == "one-rcpt-null-sender");
        CHECK(world.book.about({{"192.0.2.2", world.host(), "smtp:[192.0.2.2]"}, "220 x", {}}).limits == peers::Limits{});
    }
    // From a sender, a server that counts those it refused.
    Learning counts("like data-only\nhost peer.test\nS 220 $host ESMTP\non RCPT TO:<unknown@*>* [in mail]\n  S 550 5.1.1 User unknown\n  state full\n"
                    "on RCPT TO:* [in full]\n  S 452 4.5.3 Enough\n");
    const auto verdicts = counts.run(probe({"unknown@example.test", "a@example.test"}));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_UNDELIVERABLE);
    CHECK_MESSAGE(verdicts.verdicts(1).outcome() == delivered, verdicts.verdicts(1).text());
    CHECK(counts.quirks().empty());
}

TEST_CASE("a peer that closes behind one bad recipient: the others are served, nothing is learned")
{
    Learning world("closes-after-bad-recipient");
    world.hand.advance(61s);
    const auto verdicts = world.run(request({"unknown@example.test", "user@example.test"}));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_BOUNCED);
    CHECK_MESSAGE(verdicts.verdicts(1).outcome() == delivered, verdicts.verdicts(1).text());
    CHECK(world.sessions() == 2);
    CHECK(world.told.empty());
    // Once an attempt, and once a minute for a site: the rest as scheduled.
    const auto soon = world.run(request({"unknown@example.test", "user@example.test"}));
    CHECK(soon.verdicts(0).outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(soon.verdicts(1).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(world.deliver(mail()).outcome() == delivered);
}

TEST_CASE("three mails a session: found out after three sessions that ended so, and then no session is lost")
{
    for (const char* name : {"three-mails-then-421", "three-mails-then-closes"}) {
        CAPTURE(name);
        Learning world(name);
        const auto batch = [&] {
            world.hand.advance(61s);
            std::vector<handoff::DeliveryRequest> requests;
            for (int i = 0; i < 4; ++i) {
                requests.push_back(mail());
                requests.back().set_connections(1);
            }
            for (const auto& verdicts : world.run(std::move(requests)))
                CHECK_MESSAGE(verdicts.verdicts(0).outcome() == delivered, verdicts.verdicts(0).text());
        };
        for (int i = 0; i < 3; ++i)
            batch();
        CHECK(world.quirks() == "close-after(3)");
        const std::size_t before = world.sessions();
        batch();
        CHECK(world.sessions() == before + 2);
        for (std::size_t i = before; i < world.sessions(); ++i)
            CHECK(std::ranges::count_if(world.peer().sessions()[i].said(), [](const std::string& line) { return line.starts_with("MAIL"); }) <= 3);
    }
}

TEST_CASE("a canary a day, at the goodbye: a repaired FrontBridge is trusted again after two clean ones")
{
    Learning world("frontbridge");
    CHECK(world.deliver(mail()).outcome() == delivered);
    CHECK(world.quirks() == "quit-alone");
    world.hand.advance(24h);
    CHECK(world.deliver(mail()).outcome() == delivered);
    CHECK(world.last_session().back() == "QUIT");
    CHECK(world.told.size() == 1);                              // tested, found again
    world.peers.clear();
    world.add("192.0.2.2", "exchange-2007");
    sim::Peer& repaired = *(world.peers["192.0.2.2"] = std::make_unique<sim::Peer>(
                                "host VA3EHSMHS018.bigfish.com\nlike exchange-2007\nS 220 VA3EHSMHS018.bigfish.com Microsoft ESMTP"));
    for (int day = 0; day < 2; ++day) {
        world.hand.advance(24h);
        CHECK(world.deliver(mail()).outcome() == delivered);
        const auto said = repaired.sessions().back().said();
        CHECK(said[said.size() - 2] == "RSET");
    }
    CHECK(world.quirks().empty());
    CHECK(world.told.back() == "peer VA3EHSMHS018.bigfish.com[192.0.2.2]: quit-alone is gone: two tests found nothing of it");
}

TEST_CASE("the rule file speaks before the first session, and can forbid what would be learned")
{
    auto rules = std::make_shared<peers::Rules>();
    REQUIRE(rules->add("/^220 \\S+\\.bigfish\\.com Microsoft ESMTP/ quit-alone", "rules"));
    Learning told("frontbridge", peers::Learning::no, rules);
    told.options.quit_in_group = true;
    CHECK(told.deliver(probe({"receiver@example.com"})).outcome() == delivered);
    CHECK(told.sessions() == 1);
    auto denies = std::make_shared<peers::Rules>();
    REQUIRE(denies->add("/bigfish/ !quit-alone", "rules"));
    Learning obeys("frontbridge", peers::Learning::yes, denies);
    obeys.options.quit_in_group = true;
    for (int i = 0; i < 2; ++i)
        CHECK(obeys.deliver(probe({"receiver@example.com"})).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(obeys.told.size() == 1);                              // learning goes on observing
}

TEST_CASE("what the administrator wrote outvotes everything: the seed's table, with learning on")
{
    Learning world("frontbridge");
    world.options.quit_in_group = true;
    world.options.discard = smtp::parse_discard_list("silent-discard, pipelining");
    CHECK(world.deliver(probe({"receiver@example.com"})).outcome() == delivered);
    CHECK(world.sessions() == 1);
    CHECK(world.told.empty());
}

TEST_CASE("TLS: a broken peer never makes mail or a probe fall back to plain text while TLS itself worked")
{
    SystemClock clock;
    auto tls = WireTls::make({}, clock);
    REQUIRE(tls.has_value());
    Learning world("data-only");
    world.peers.clear();
    world.settings.tls = sim::tls_server("peer.test");
    // After TLS it forgets before QUIT; EHLO it closes at, on every second session.
    world.peers["192.0.2.2"] = std::make_unique<sim::Peer>("forgets before QUIT\nlike starttls", world.settings);
    world.tls = tls->get();
    world.options.tls_level = TlsLevel::may;
    world.options.quit_in_group = true;
    CHECK(world.deliver(probe({"user@example.test"})).outcome() == delivered);
    REQUIRE(world.sessions() == 2);
    for (const sim::Session& session : world.peer().sessions())
        CHECK(session.handshakes == 1);
    CHECK(world.quirks() == "quit-alone");
}

TEST_CASE("TLS: an attack on handshakes leaves no lasting plain text: each session tries TLS first, EHLO is not given up, an alarm is raised")
{
    SystemClock clock;
    auto tls = WireTls::make({}, clock);
    REQUIRE(tls.has_value());
    Learning world("starttls");
    world.settings.tls = sim::tls_server("peer.test");
    world.add("192.0.2.2", "starttls");
    world.tls = tls->get();
    world.options.tls_level = TlsLevel::may;
    CHECK(world.deliver(mail()).outcome() == delivered);
    for (const char* attack : {"broken-starttls", "silent-starttls", "closes-at-ehlo", "closes-at-ehlo", "closes-at-ehlo", "closes-at-ehlo"}) {
        world.add("192.0.2.2", attack);
        world.deliver(mail());
        CHECK(world.peer().sessions().front().said().front() == "EHLO client.test");
        CHECK(world.quirks().empty());
    }
    CHECK(std::ranges::count_if(world.told,
                                [](const std::string& line) { return line.find("TLS failed, although it worked") != std::string::npos; }) == 1);
    world.settings.tls = sim::tls_server("peer.test");
    world.add("192.0.2.2", "starttls");
    CHECK(world.deliver(mail()).outcome() == delivered);
    CHECK(world.peer().sessions().front().handshakes == 1);
}

namespace {

handoff::DeliveryRequest probe_of(std::string_view local_part, int count)
{
    std::vector<std::string> recipients;
    for (int i = 0; i < count; ++i)
        recipients.push_back(fmt::format("{}{}@example.test", local_part, i));
    return probe(std::move(recipients));
}

std::size_t answered(const handoff::Verdicts& verdicts, std::string_view reply)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(verdicts.verdicts(), [&](const handoff::Verdict& verdict) { return verdict.text().find(reply) != std::string::npos; }));
}

/// The most RCPTs that a session heard, and how many sessions said 421.
std::pair<std::size_t, std::size_t> strain(const sim::Peer& peer)
{
    std::size_t most = 0, ended = 0;
    for (const sim::Session& session : peer.sessions()) {
        const auto said = session.said();
        most =
            std::max(most, static_cast<std::size_t>(std::ranges::count_if(said, [](const std::string& line) { return line.starts_with("RCPT"); })));
        ended += std::ranges::any_of(session.transcript, [](const std::string& line) { return line.starts_with("S: 421"); });
    }
    return {most, ended};
}

}  // namespace

TEST_CASE("probe: where the peer's limit of errors is not known, a session ends behind ten refusals; what was accepted costs nothing")
{
    Learning world("data-only");
    world.hand.advance(61s);
    std::vector<std::string> strangers;
    for (int i = 0; i < 25; ++i)
        strangers.push_back(fmt::format("unknown@site{}.test", i));
    CHECK(answered(world.run(probe(std::move(strangers))), "550 5.1.1") == 25);
    CHECK(world.sessions() == 3);
    CHECK(strain(world.peer()).first == 10);
    Learning bad("slow-after-errors");
    bad.options.probe_errors = 3;
    bad.hand.advance(61s);
    CHECK(answered(bad.run(probe_of("unknown", 8)), "550 5.1.1") == 8);
    CHECK(bad.sessions() == 3);
    CHECK(strain(bad.peer()).first == 3);
    Learning good("data-only");
    good.hand.advance(61s);
    CHECK(answered(good.run(probe_of("user", 25)), "250 2.1.5") == 25);
    CHECK(good.sessions() == 1);
    CHECK(good.peer().sessions().front().turns <= 6);           // greeting, EHLO, three flights, the goodbye
}

TEST_CASE("probe: a peer that ends the session after too many errors is found out once; all are answered, and it is not met again")
{
    Learning world("too-many-errors");
    world.hand.advance(61s);
    CHECK(answered(world.run(probe_of("unknown", 12)), "said: 550 5.1.1") == 12);
    CHECK(strain(world.peer()).second == 1);
    world.hand.advance(61s);
    CHECK(answered(world.run(probe_of("unknown", 12)), "said: 550 5.1.1") == 12);
    CHECK(strain(world.peer()).second == 1);
    CHECK(world.book.about({{"192.0.2.2", world.host(), "smtp:[192.0.2.2]"}, "220 x", {}}).limits.errors_per_session == 5);
}

TEST_CASE("probe: one bad recipient closes the session: those behind it are asked on another, each time with an answer more")
{
    Learning world("closes-after-bad-recipient");
    world.hand.advance(61s);
    const auto all = world.run(probe({"user@a.test", "unknown@a.test", "unknown@b.test", "user@b.test", "user@c.test"}));
    CHECK(answered(all, "250 2.1.5") == 3);
    CHECK(answered(all, "550 5.1.1") == 2);
    CHECK(world.sessions() == 3);
    // One at whose RCPT the peer hangs up costs the others nothing.
    Learning hangs(R"(
        product x
        expect x
        host peer.test
        like data-only
        on RCPT TO:<evil@*>*
          close
    )");
    hangs.hand.advance(61s);
    const auto each = hangs.run(probe({"evil@a.test", "user@a.test", "unknown@b.test"}));
    CHECK(each.verdicts(0).text() == "lost connection with 192.0.2.2[192.0.2.2] while sending RCPT TO");
    CHECK(each.verdicts(1).text() == "250 2.1.5 Recipient OK");
    CHECK(each.verdicts(2).text().find("550 5.1.1") != std::string::npos);
    CHECK(hangs.sessions() == 2);
    // What has no answer at all is not asked again and again.
    Learning deaf("says-421-at-rcpt");
    deaf.hand.advance(61s);
    CHECK(answered(deaf.run(probe_of("user", 3)), "421 4.3.2") == 3);
    CHECK(deaf.sessions() == 1);
}

TEST_CASE("probe: where answers become slow after some errors, sessions have fewer from the second sight on")
{
    Learning world("slow-after-errors");
    SystemClock clock;
    world.turned = &clock;                                      // pauses are what is measured
    peers::Book book(clock, {.learning = peers::Learning::yes}, nullptr);
    world.knowledge = &book;
    world.options.timeouts.rcpt = 5s;
    const auto limit = [&] { return book.about({{"192.0.2.2", world.host(), "smtp:[192.0.2.2]"}, "220 x", {}}).limits.errors_per_session; };
    for (const std::uint32_t expected : {0U, 3U}) {
        CHECK(answered(world.run(probe_of("unknown", 5)), "550 5.1.1") == 5);
        CHECK(limit() == expected);
    }
    const std::size_t before = world.sessions();
    CHECK(answered(world.run(probe_of("unknown", 5)), "550 5.1.1") == 5);
    CHECK(world.sessions() == before + 3);                      // two in each: none was slow
    CHECK(strain(world.peer()).second == 0);
}
