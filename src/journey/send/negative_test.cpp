// What must not be learned: from bad lines, from liars, from attacks on TLS; and how quirks come and go where a peer changes.
#include "send/shelf_test.hpp"
#include "send/wire_tls.hpp"
#include "sim/tls_server.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <random>

using namespace posthorn;
using namespace posthorn::send;
using namespace std::chrono_literals;

namespace {

handoff::Verdict deliver(Shelf& world, handoff::DeliveryRequest what)
{
    world.hand.advance(61s);
    return world.run(std::move(what)).verdicts(0);
}

std::size_t learned(const Shelf& world)
{
    return static_cast<std::size_t>(std::ranges::count_if(world.told, [](const std::string& line) { return line.find(" learned ") != line.npos; }));
}
std::size_t said(const Shelf& world, std::string_view words)
{
    return static_cast<std::size_t>(std::ranges::count_if(world.told, [&](const std::string& line) { return line.find(words) != line.npos; }));
}

/// Another host with the manners of a peer of sim/.
sim::Script as_host(std::string host, std::string_view like)
{
    sim::Script script = *sim::Script::parse(sim::peer_text(like), like);
    script.host = std::move(host);
    script.opening.front().text = "220 $host ESMTP";
    return script;
}

}  // namespace

TEST_CASE("negative: 10 000 sessions of which one in a hundred is lost, at any step and in any way, teach nothing of correct servers")
{
    const char* const wish = std::getenv("POSTHORN_LOSSY_SESSIONS");
    const unsigned sessions = (wish ? static_cast<unsigned>(std::atoi(wish)) : 10'000) / 4;
    std::mt19937 random(4711);
    for (const std::string name : {"bdat", "data-only", "no-pipelining", "exchange-2007"}) {
        CAPTURE(name);
        Shelf world(name);
        world.settings.pieces = 7;                          // so that a loss cuts replies in two
        world.add("192.0.2.2", name);
        unsigned lost = 0;
        world.spoil = [&](net::MemoryOptions& line) {
            if (random() % 100 != 0)
                return;
            ++lost;
            using Kind = net::Faults::Kind;
            line.faults = std::make_shared<net::Faults>();
            line.faults->fail_at = static_cast<int>(random() % 120);
            line.faults->kind = std::array{Kind::reset, Kind::end, Kind::timeout}[random() % 3];
        };
        std::map<handoff::Outcome, unsigned> outcomes;
        while (world.connects < sessions) {
            // Twenty a run, each over a session of its own or a warm one: as mail comes.
            std::vector<handoff::DeliveryRequest> requests;
            for (int i = 0; i < 20; ++i)
                requests.push_back(random() % 3 == 0 ? probe({"user@example.test"}) : mail());
            world.hand.advance(std::chrono::minutes(1 + random() % 30));
            for (const auto& verdicts : world.run(std::move(requests)))
                ++outcomes[verdicts.verdicts(0).outcome()];
        }
        CHECK(lost > sessions / 300);
        CHECK(learned(world) == 0);
        if (learned(world) != 0)
            MESSAGE(world.told.front());
        CHECK(outcomes[handoff::OUTCOME_BOUNCED] + outcomes[handoff::OUTCOME_UNDELIVERABLE] == 0);
        CHECK(outcomes[handoff::OUTCOME_DEFERRED] <= lost * 4);     // what shared a lost session
        world.spoil = {};
        // What one session goes without, to see, it uses up: larger content than any, for a suspicion of BDAT above a size.
        CHECK(deliver(world, request({"user@example.test"}, "Subject: large\r\n\r\n" + std::string(900, 'x') + "\r\n")).outcome() == delivered);
        CHECK(deliver(world, probe({"user@example.test"})).outcome() == delivered);
        CHECK(world.quirks() == "");                        // nor is anything suspected any more
    }
}

TEST_CASE("negative: servers that show another's banner teach about their own address only, and a domain of liars about no host of others")
{
    Shelf world("");
    const sim::Script liar = as_host("VA3EHSMHS018.bigfish.com", "refuses-groups");
    for (int i = 0; i < 5; ++i) {
        const std::string address = fmt::format("192.0.2.{}", 10 + i);
        world.add(address, liar);
        CHECK(deliver(world, request({"user@example.test"}, "Subject: x\r\n\r\nx\r\n", "[" + address + "]")).outcome() == delivered);
        CHECK(world.quirks(address) == "one-command-per-flight");
    }
    world.add("192.0.2.2", as_host("VA3EHSMHS018.bigfish.com", "data-only"));
    CHECK(world.quirks().empty());
    CHECK(deliver(world, mail()).outcome() == delivered);
    CHECK(world.peer().sessions().size() == 1);
    CHECK(world.quirks().empty());

    // Two liars and an honest host in one MX set: mail for that domain is careful with it, mail for any other is not.
    auto site = [](std::string address) {
        auto what = request({"user@liars.test"}, "Subject: x\r\n\r\nx\r\n", "[" + address + "]");
        what.mutable_route()->set_site("smtp:liars.test");
        return what;
    };
    for (const char* address : {"192.0.2.20", "192.0.2.21"}) {
        world.add(address, as_host("mx.liars.test", "refuses-groups"));
        CHECK(deliver(world, site(address)).outcome() == delivered);
    }
    const auto about = [&](std::string name) {
        return world.book.about({{"192.0.2.30", "honest.test", std::move(name)}, "220 honest.test", {}}).quirks;
    };
    CHECK(about("smtp:liars.test").has(peers::Quirk::one_command_per_flight));
    CHECK(about("smtp:example.test").empty());
    world.add("192.0.2.30", as_host("honest.test", "data-only"));
    CHECK(deliver(world, site("192.0.2.30")).outcome() == delivered);
    CHECK(about("smtp:liars.test").empty());                // met once, it speaks for itself
}

TEST_CASE("negative: a hundred attacks on TLS of each kind leave no lasting plain text: every session tries it, the first free one has it")
{
    SystemClock clock;
    auto tls = WireTls::make({}, clock);
    REQUIRE(tls.has_value());
    Shelf world("");
    world.settings.tls = sim::tls_server("peer.test");
    world.tls = tls->get();
    world.options.tls_level = TlsLevel::may;
    const auto free_session = [&] {
        world.add("192.0.2.2", "starttls");
        CHECK(deliver(world, mail()).outcome() == delivered);
        for (const sim::Session& session : world.peer().sessions())
            CHECK(session.handshakes == 1);
        CHECK(world.quirks().empty());
    };
    free_session();
    const std::string strips = "like data-only";            // STARTTLS is not offered any more
    const std::string garbles = "like starttls\non STARTTLS\n  S 220 go\n  flush\n  s \\x16\\x03\\x03garbage\n  close\n";
    const std::string refuses = "like refuses-starttls";
    const std::string resets = "like starttls\non STARTTLS\n  reset\n";
    for (const std::string& attack : {strips, garbles, refuses, resets, std::string("like broken-starttls"), std::string("like silent-starttls"),
                                      std::string("like closes-at-ehlo")}) {
        CAPTURE(attack);
        for (int i = 0; i < 100; ++i) {
            world.add("192.0.2.2", attack);
            world.hand.advance(1h);
            deliver(world, mail());
            for (const sim::Session& session : world.peer().sessions())
                CHECK(session.handshakes == 0);
            const auto lines = world.peer().sessions().front().said();
            CHECK(lines.front() == "EHLO client.test");
            if (attack != strips && attack != "like closes-at-ehlo")
                CHECK(lines[1] == "STARTTLS");
        }
        CHECK(learned(world) == 0);
        free_session();
    }
    CHECK(said(world, "TLS failed, although it worked") >= 5 * 4);      // one a day for each kind that shows
}

TEST_CASE("come and go: two machines behind one address are told apart by their banners")
{
    Shelf world("");
    for (int i = 0; i < 6; ++i) {
        world.add("192.0.2.2", i % 2 == 0 ? as_host("a.example.test", "frontbridge") : as_host("b.example.test", "exchange-2007"));
        CHECK(deliver(world, mail()).outcome() == delivered);
        CHECK(deliver(world, probe({"unknown@example.test"})).outcome() == handoff::OUTCOME_UNDELIVERABLE);
        CHECK(world.quirks() == (i % 2 == 0 ? "quit-alone" : ""));
    }
    CHECK(learned(world) == 1);
}

TEST_CASE("come and go: machines of one banner that differ from day to day flap: a signature then needs two sightings, and mail gets through")
{
    const sim::Script sick = as_host("mx.example.test", "refuses-groups");
    const sim::Script well = as_host("mx.example.test", "bdat");
    Shelf world("");
    for (int i = 0; i < 4; ++i) {                           // their keywords differ: it is known to flap before it fails
        world.add("192.0.2.2", i % 2 == 0 ? well : as_host("mx.example.test", "no-pipelining"));
        CHECK(deliver(world, mail()).outcome() == delivered);
    }
    CHECK(world.told.empty());
    world.add("192.0.2.2", sick);
    CHECK(deliver(world, mail()).outcome() == delivered);   // the attempt goes on at once all the same
    CHECK(learned(world) == 0);
    world.add("192.0.2.2", well);
    CHECK(deliver(world, mail()).outcome() == delivered);
    CHECK(world.quirks().empty());
    world.add("192.0.2.2", sick);
    CHECK(deliver(world, mail()).outcome() == delivered);
    CHECK(learned(world) == 1);
}

TEST_CASE("come and go: a proxy that announced what its backend lacked, and was repaired: two clean tests, a day apart, on probes")
{
    Shelf world("");
    world.add("192.0.2.2", as_host("proxy.example.test", "refuses-groups"));
    CHECK(deliver(world, mail()).outcome() == delivered);
    CHECK(world.quirks() == "one-command-per-flight");
    for (int day = 1; day <= 3; ++day) {                    // still broken: tested once a day, and probes have their answers
        world.hand.advance(24h);
        CHECK(deliver(world, probe({"user@example.test"})).outcome() == delivered);
        CHECK(deliver(world, mail()).outcome() == delivered);
        CHECK(world.quirks() == "one-command-per-flight");
    }
    world.add("192.0.2.2", as_host("proxy.example.test", "data-only"));
    world.hand.advance(24h);
    CHECK(deliver(world, probe({"user@example.test"})).outcome() == delivered);
    CHECK(world.quirks() == "one-command-per-flight");
    CHECK(deliver(world, probe({"user@example.test"})).outcome() == delivered);     // the same day: no test
    CHECK(world.quirks() == "one-command-per-flight");
    world.hand.advance(24h);
    CHECK(deliver(world, probe({"user@example.test"})).outcome() == delivered);
    CHECK(world.quirks().empty());
    CHECK(said(world, "one-command-per-flight is gone: two tests found nothing of it") == 1);
    CHECK(deliver(world, mail()).outcome() == delivered);
    CHECK(world.peer().sessions().back().turns <= 5);       // in groups again
}

TEST_CASE("come and go: a peer repaired where only content would show it: the quirk expires after seven days, and not before")
{
    Shelf world("");
    world.add("192.0.2.2", as_host("proxy.example.test", "refuses-bdat"));
    CHECK(deliver(world, mail()).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(deliver(world, mail()).outcome() == delivered);
    CHECK(world.quirks() == "no-bdat");
    world.add("192.0.2.2", as_host("proxy.example.test", "bdat"));
    for (int day = 1; day < 7; ++day) {
        world.hand.advance(24h - 5min);
        CHECK(deliver(world, mail()).outcome() == delivered);
        CHECK(world.quirks() == "no-bdat");
        CHECK(std::ranges::count_if(world.peer().sessions().back().said(), [](const std::string& line) { return line.starts_with("BDAT"); }) == 0);
    }
    world.hand.advance(25h);
    CHECK(deliver(world, mail()).outcome() == delivered);
    CHECK(world.quirks().empty());
    CHECK(said(world, "no-bdat has expired") == 1);
}
