// Deliveries through the Agent, against peers of sim/ in memory.
#include "send/wire_tls.hpp"
#include "send/world_test.hpp"
#include "sim/tls_server.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

std::string without_delays(std::string line)
{
    if (const auto at = line.find(", delay="); at != std::string::npos)
        if (const auto dsn = line.find(", dsn="); dsn != std::string::npos)
            line.erase(at, dsn - at);
    return line;
}

}  // namespace

TEST_CASE("mail to Exchange 2007 arrives by BDAT in one session of five turns, and the session says goodbye")
{
    World world("exchange-2007");
    const auto verdicts = world.run(request({"user@example.test"}));
    CHECK(verdicts.attempt() == 7);
    CHECK(verdicts.message() == 9);
    REQUIRE(verdicts.verdicts_size() == 1);
    const auto& verdict = verdicts.verdicts(0);
    CHECK(verdict.outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(verdict.status() == "2.6.0");
    CHECK(verdict.relay() == "192.0.2.2[192.0.2.2]:25");
    CHECK(world.peer().contents() == std::vector<std::string>{"Subject: x\r\n\r\nhello\r\n"});
    CHECK(world.peer().faults().empty());
    const sim::Session& session = world.peer().sessions().front();
    CHECK(session.said() == std::vector<std::string>{"EHLO client.test", "MAIL FROM:<sender@client.test> SIZE=21",
                                                     "RCPT TO:<user@example.test> ORCPT=rfc822;user@example.test", "BDAT 21 LAST", "RSET", "QUIT"});
    CHECK(session.turn_of_content.front() == 3);          // greeting, EHLO, envelope; the content's answer is the fourth
    REQUIRE(lines_of(world, "status=").size() == 1);
    CHECK(without_delays(lines_of(world, "status=").front()) ==
          "postfix/smtp: 4gDq8v1Yc0z3D: to=<user@example.test>, relay=192.0.2.2[192.0.2.2]:25, dsn=2.6.0, status=sent "
          "(250 2.6.0 <message@exchange.example.com> [InternalId=11073071] Queued mail for delivery)");
}

TEST_CASE("probe: FrontBridge answers, with pipelining and without a table; the lone 221 comes when nobody waits")
{
    World world("frontbridge");
    const auto verdicts = world.run(probe({"receiver@example.com", "unknown@example.com"}));
    REQUIRE(verdicts.verdicts_size() == 2);
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(verdicts.verdicts(0).text() == "250 2.1.5 Recipient OK");
    CHECK(verdicts.verdicts(1).outcome() == handoff::OUTCOME_UNDELIVERABLE);
    CHECK(verdicts.verdicts(1).status() == "5.1.1");
    const auto said = world.peer().sessions().front().said();
    CHECK(said.back() == "QUIT");
    CHECK(said[said.size() - 2].starts_with("RCPT"));    // the RSET before QUIT was lost by the peer
    CHECK(lines_of(world, "status=deliverable").size() == 1);
}

TEST_CASE("probe: Postfix's grouping shows what happened to Postfix at FrontBridge, word for word")
{
    World world("frontbridge");
    world.options.quit_in_group = true;
    const auto verdicts = world.run(probe({"receiver@example.com"}));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(verdicts.verdicts(0).status() == "4.4.2");
    CHECK(without_delays(lines_of(world, "status=").front()) ==
          "postfix/smtp: 4gDq8v1Yc0z3D: to=<receiver@example.com>, relay=192.0.2.2[192.0.2.2]:25, dsn=4.4.2, status=undeliverable "
          "(lost connection with 192.0.2.2[192.0.2.2] while sending RCPT TO)");
    World good("exchange-2007");
    good.options.quit_in_group = true;
    CHECK(good.run(probe({"receiver@example.com"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    World mail("frontbridge");
    mail.options.quit_in_group = true;
    mail.options.chunking = false;
    CHECK(mail.run(request({"receiver@example.com"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);   // dot and QUIT are safe
}

TEST_CASE("every peer of the shelf gives each recipient the outcome that its script promises, with Postfix's words")
{
    struct Row {
        std::string_view peer;
        handoff::Outcome outcome;
        std::string_view status, text;
    };
    std::string big = "Subject: big\r\n\r\n";
    for (int i = 0; i < 60; ++i)
        big += std::string(50, 'x') + "\r\n";
    using enum handoff::Outcome;
    for (const Row& row : std::initializer_list<Row>{
             {"exchange-2007", OUTCOME_DELIVERED, "2.6.0", "Queued mail for delivery"},
             {"frontbridge", OUTCOME_DELIVERED, "2.6.0", "Queued"},
             {"data-only", OUTCOME_DELIVERED, "2.6.0", "250 2.6.0"},
             {"bdat", OUTCOME_DELIVERED, "2.6.0", "250 2.6.0"},
             {"no-pipelining", OUTCOME_DELIVERED, "2.6.0", "250 2.6.0"},
             {"seven-bit", OUTCOME_DELIVERED, "2.6.0", "250 2.6.0"},
             {"helo-only", OUTCOME_DELIVERED, "2.6.0", "250 2.6.0"},
             {"slow", OUTCOME_DELIVERED, "2.6.0", "250 2.6.0"},
             {"one-mail-per-session", OUTCOME_DELIVERED, "2.6.0", "250 2.6.0"},
             {"starttls", OUTCOME_DELIVERED, "2.6.0", "250 2.6.0"},
             {"refuses-starttls", OUTCOME_DELIVERED, "2.6.0", "250 2.6.0"},
             {"refuses-recipients", OUTCOME_BOUNCED, "5.1.1", "said: 550 5.1.1 User unknown (in reply to RCPT TO command)"},
             {"invites-in-vain", OUTCOME_BOUNCED, "5.1.1", "(in reply to RCPT TO command)"},
             {"greylists", OUTCOME_DEFERRED, "4.7.1", "said: 451 4.7.1 Greylisted, try again in 300 seconds (in reply to RCPT TO command)"},
             {"defers-at-mail", OUTCOME_DEFERRED, "4.3.0", "(in reply to MAIL FROM command)"},
             {"defers-at-rcpt", OUTCOME_DEFERRED, "4.3.0", "(in reply to RCPT TO command)"},
             {"defers-at-data", OUTCOME_DEFERRED, "4.3.0", "(in reply to DATA command)"},
             {"defers-at-dot", OUTCOME_DEFERRED, "4.3.0", "(in reply to end of DATA command)"},
             {"rejects-at-mail", OUTCOME_BOUNCED, "5.7.1", "(in reply to MAIL FROM command)"},
             {"rejects-at-rcpt", OUTCOME_BOUNCED, "5.7.1", "(in reply to RCPT TO command)"},
             {"rejects-at-data", OUTCOME_BOUNCED, "5.7.1", "(in reply to DATA command)"},
             {"rejects-at-dot", OUTCOME_BOUNCED, "5.6.0", "(in reply to end of DATA command)"},
             {"closes-at-greeting", OUTCOME_DEFERRED, "4.4.2",
              "lost connection with 192.0.2.2[192.0.2.2] while receiving the initial server greeting"},
             {"closes-at-mail", OUTCOME_DEFERRED, "4.4.2", "lost connection with 192.0.2.2[192.0.2.2] while sending MAIL FROM"},
             {"closes-at-rcpt", OUTCOME_DEFERRED, "4.4.2", "lost connection with 192.0.2.2[192.0.2.2] while sending RCPT TO"},
             {"closes-at-data", OUTCOME_DEFERRED, "4.4.2", "lost connection with 192.0.2.2[192.0.2.2] while sending DATA command"},
             {"closes-at-dot", OUTCOME_DEFERRED, "4.4.2",
              "lost connection with 192.0.2.2[192.0.2.2] while sending end of data -- message may be sent more than once"},
             {"resets-at-content", OUTCOME_DEFERRED, "4.4.2", "lost connection with 192.0.2.2[192.0.2.2] while sending"},
             {"refuses-content-early", OUTCOME_BOUNCED, "5.3.4", "said: 552 5.3.4 Message too big (in reply to end of DATA command)"},
             {"says-421-at-rcpt", OUTCOME_DEFERRED, "4.3.2", "said: 421 4.3.2 Service shutting down (in reply to RCPT TO command)"},
             {"refuses-greeting", OUTCOME_DEFERRED, "4.7.1", "host 192.0.2.2[192.0.2.2] refused to talk to me: 554 5.7.1 No SMTP service here"},
             {"null-mx", OUTCOME_DEFERRED, "4.3.2", "refused to talk to me: 521 5.3.2"},
         }) {
        CAPTURE(row.peer);
        for (const std::size_t capacity : {std::size_t{1} << 20, std::size_t{512}}) {
            World world(row.peer);
            world.memory.capacity = capacity;
            const auto verdicts = world.run(request({"user@example.test", "second@example.test"}, big));
            REQUIRE(verdicts.verdicts_size() == 2);
            for (const auto& verdict : verdicts.verdicts()) {
                CHECK(verdict.outcome() == row.outcome);
                CHECK(verdict.status() == row.status);
                CHECK_MESSAGE(verdict.text().find(row.text) != std::string::npos, verdict.text());
            }
            if (row.outcome == OUTCOME_DELIVERED)
                CHECK(world.peer().contents() == std::vector<std::string>{big});
            CHECK(lines_of(world, "status=").size() == 2);
        }
    }
}

TEST_CASE("a silent peer costs no more than its deadline")
{
    World world("silent-greeting");
    world.options.timeouts.helo = seconds(1);
    const auto begun = std::chrono::steady_clock::now();
    const auto verdicts = world.run(request({"user@example.test"}));
    CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(3));
    CHECK(verdicts.verdicts(0).text() == "conversation with 192.0.2.2[192.0.2.2] timed out while receiving the initial server greeting");
    CHECK(verdicts.verdicts(0).status() == "4.4.2");
}

TEST_CASE("each recipient has its own answer")
{
    World world("exchange-2007");
    const auto verdicts = world.run(request({"a@example.test", "unknown@example.test", "b@example.test"}));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(verdicts.verdicts(1).outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(verdicts.verdicts(1).diagnostic() == "550 5.1.1 User unknown");
    CHECK(verdicts.verdicts(1).remote_mta() == "192.0.2.2");
    CHECK(verdicts.verdicts(2).outcome() == handoff::OUTCOME_DELIVERED);
}

TEST_CASE("LMTP: the content has one answer per accepted recipient")
{
    World world;
    world.add("/var/lmtp", "lmtp");
    world.options.lmtp = true;
    const auto verdicts =
        world.run(request({"a@example.test", "unknown@example.test", "full@example.test"}, "Subject: x\r\n\r\nx\r\n", "unix:/var/lmtp"));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(verdicts.verdicts(0).relay() == "client.test[/var/lmtp]");
    CHECK(verdicts.verdicts(1).outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(verdicts.verdicts(2).outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(verdicts.verdicts(2).status() == "5.2.2");
    CHECK(world.peer("/var/lmtp").sessions().front().said().front() == "LHLO client.test");
}

TEST_CASE("LMTP: a socket that is away is said by the delivery lines alone, a host that is away by a line of its own")
{
    World world;
    CHECK(world.run(request({"a@example.test"}, "x\r\n", "[192.0.2.2]")).verdicts(0).text() ==
          "connect to 192.0.2.2[192.0.2.2]:25: Connection refused");
    CHECK(lines_of(world, ": connect to 192.0.2.2[192.0.2.2]:25: Connection refused").size() == 1);
    world.options.lmtp = true;
    CHECK(world.run(request({"a@example.test"}, "x\r\n", "unix:/var/lmtp")).verdicts(0).text() ==
          "connect to client.test[/var/lmtp]: Connection refused");
    CHECK(lines_of(world, ": connect to client.test[/var/lmtp]").empty());
}

TEST_CASE("success reports: relayed; by LMTP delivered where that is assumed; nothing where the peer took them over")
{
    const auto action = [](bool lmtp, bool assumed, const char* kind) {
        World world;
        const std::string address = lmtp ? "/var/lmtp" : "192.0.2.2";
        world.add(address, kind);
        world.options.lmtp = lmtp;
        world.options.assume_final = assumed;
        const auto verdicts = world.run(request({"a@example.test"}, "Subject: x\r\n\r\nx\r\n", lmtp ? "unix:/var/lmtp" : "[192.0.2.2]"));
        REQUIRE(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        return verdicts.verdicts(0).action();
    };
    CHECK(action(false, false, "no-pipelining") == "relayed");
    CHECK(action(true, false, "lmtp") == "relayed");
    CHECK(action(true, true, "lmtp") == "delivered");
    CHECK(action(false, false, "data-only") == "");
}

TEST_CASE("a second mail rides on the warm session, its envelope behind the content before it, without RSET")
{
    World world("data-only");
    std::vector<handoff::DeliveryRequest> requests;
    for (int i = 0; i < 5; ++i) {
        requests.push_back(request({"user" + std::to_string(i) + "@example.test"}));
        requests.back().set_connections(1);
    }
    const auto all = world.run(std::move(requests));
    for (const auto& verdicts : all)
        CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(world.peer().sessions().size() == 1);
    CHECK(world.peer().contents().size() == 5);
    // Greeting, EHLO, first envelope, then one turn for each content with the next envelope, and the goodbye.
    CHECK(world.peer().sessions().front().turns == 3 + 5 + 1);
    CHECK(world.agent->counts().reused == 4);
    CHECK(lines_of(world, "conn_use=5").size() == 1);
    const auto said = world.peer().sessions().front().said();
    CHECK(std::ranges::count(said, "RSET") == 1);         // of the goodbye
}

TEST_CASE("a peer that takes one mail per session loses no mail: what it did not answer goes over another session")
{
    World world("one-mail-per-session");
    std::vector<handoff::DeliveryRequest> requests;
    for (int i = 0; i < 4; ++i) {
        requests.push_back(request({"user" + std::to_string(i) + "@example.test"}));
        requests.back().set_connections(1);
    }
    for (const auto& verdicts : world.run(std::move(requests)))
        CHECK_MESSAGE(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED, verdicts.verdicts(0).text());
    CHECK(world.peer().sessions().size() == 4);
}

TEST_CASE("a warm session that the peer closed while it idled is not used")
{
    World world(
        "S 220 peer.test\non EHLO *\n S 250 peer.test\non MAIL*\n S 250 ok\non RCPT*\n S 250 ok\non DATA\n S 354 go\n content\n S 250 taken\n flush\n close");
    world.in_turn = true;
    std::vector<handoff::DeliveryRequest> requests;
    requests.push_back(request({"a@example.test"}));
    requests.push_back(request({"b@example.test"}));
    for (const auto& verdicts : world.run(std::move(requests)))
        CHECK_MESSAGE(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED, verdicts.verdicts(0).text());
    CHECK(world.peer().sessions().size() == 2);
}

TEST_CASE("hosts: the next one is tried after a refused connection, a 5xx greeting, a 4xx; not after a permanent answer")
{
    World world;
    world.names.mx_of["example.test"] = {{10, "a.test"}, {20, "b.test"}, {30, "c.test"}, {40, "d.test"}};
    world.names.addresses_of = {{"a.test", {"192.0.2.11"}}, {"b.test", {"192.0.2.12"}}, {"c.test", {"192.0.2.13"}}, {"d.test", {"192.0.2.14"}}};
    world.options.session_limit = 0;
    world.add("192.0.2.12", "refuses-greeting");
    world.add("192.0.2.13", "greylists");
    world.add("192.0.2.14", "exchange-2007");
    const auto verdicts = world.run(request({"user@example.test", "unknown@example.test"}, "x\r\n", "example.test"));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(verdicts.verdicts(0).relay() == "d.test[192.0.2.14]:25");
    CHECK(verdicts.verdicts(1).outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(lines_of(world, "connect to a.test[192.0.2.11]:25: Connection refused").size() == 1);
    CHECK(lines_of(world, "4gDq8v1Yc0z3D: host b.test[192.0.2.12] refused to talk to me: 554").size() == 1);
    CHECK(lines_of(world, "4gDq8v1Yc0z3D: host c.test[192.0.2.13] said: 451 4.7.1").size() == 1);
}

TEST_CASE("hosts: sessions are limited; then the last reason counts")
{
    World world;
    world.names.mx_of["example.test"] = {{10, "a.test"}, {20, "b.test"}, {30, "c.test"}};
    world.names.addresses_of = {{"a.test", {"192.0.2.11"}}, {"b.test", {"192.0.2.12"}}, {"c.test", {"192.0.2.13"}}};
    world.options.session_limit = 2;
    for (const char* address : {"192.0.2.11", "192.0.2.12", "192.0.2.13"})
        world.add(address, "greylists");
    const auto verdicts = world.run(request({"user@example.test"}, "x\r\n", "example.test"));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(verdicts.verdicts(0).relay() == "b.test[192.0.2.12]:25");
    CHECK(world.connects == 2);
}

TEST_CASE("hosts: mail that would loop to us is handed back for best_mx_transport, unless that is who gave it")
{
    World world;
    world.options.best_mx = "local";
    world.names.mx_of["self.test"] = {{10, "client.test"}};
    world.names.mx_of["backup.test"] = {{20, "client.test"}, {10, "primary.test"}};
    world.names.addresses_of["client.test"] = {"192.0.2.9"};
    world.own_addresses = {*net::IpAddress::parse("192.0.2.9")};
    world.names.fails["primary.test"] = dns::Status::temporary;
    auto wish = request({"a@x.test", "b@x.test"}, "x\r\n", "self.test");
    const auto handed = world.run(wish);
    CHECK(handed.untried());
    CHECK(handed.elsewhere() == "local");
    CHECK(handed.verdicts_size() == 0);
    CHECK(world.run(request({"a@x.test"}, "x\r\n", "backup.test")).elsewhere() == "");   // the best is away: it waits for that
    wish.set_passed_on(true);
    const auto looped = world.run(wish);
    CHECK_FALSE(looped.untried());
    REQUIRE(looped.verdicts_size() == 2);
    CHECK(looped.verdicts(1).status() == "5.4.6");
    CHECK(looped.verdicts(1).text() == "mail for self.test loops back to myself");
    CHECK_FALSE(looped.site_failed());                              // the next mail for it is returned as well, not kept back
}

TEST_CASE("hosts: what the name service says becomes Postfix's words")
{
    World world;
    world.names.mx_of["null.test"] = {{0, ""}};
    world.names.mx_of["self.test"] = {{10, "client.test"}};
    world.names.addresses_of["client.test"] = {"192.0.2.9"};
    world.own_addresses = {*net::IpAddress::parse("192.0.2.9")};
    world.names.fails["broken.test"] = dns::Status::temporary;
    world.names.mx_of["nowhere.test"] = {{10, "gone.test"}};
    const auto reason = [&](const std::string& next_hop) { return world.run(request({"u@x.test"}, "x\r\n", next_hop)).verdicts(0); };
    CHECK(reason("null.test").text() == "Domain null.test does not accept mail (nullMX)");
    CHECK(reason("null.test").status() == "5.1.10");
    CHECK(reason("null.test").outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(reason("self.test").text() == "mail for self.test loops back to myself");
    CHECK(reason("self.test").status() == "5.4.6");
    world.names.mx_of["backup.test"] = {{20, "client.test"}, {10, "primary.test"}};
    for (const auto failure : {dns::Status::temporary, dns::Status::nxdomain}) {
        world.names.fails["primary.test"] = failure;                 // we are the second best, and the best is not to be had now
        CHECK(reason("backup.test").text() == "unable to find primary relay for backup.test");
        CHECK(reason("backup.test").outcome() == handoff::OUTCOME_DEFERRED);
        CHECK(reason("backup.test").status() == "4.4.4");
    }
    CHECK(reason("missing.test").text() == "Host or domain name not found. Name service error for name=missing.test type=MX: Host not found");
    CHECK(reason("missing.test").outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(reason("broken.test").text() ==
          "Host or domain name not found. Name service error for name=broken.test type=MX: Host not found, try again");
    CHECK(reason("broken.test").outcome() == handoff::OUTCOME_DEFERRED);
    world.names.mx_of["xn--bcher-kva.test"] = {{0, ""}};
    CHECK(reason("bücher.test").status() == "5.1.10");
    CHECK(reason("bücher.invalid").text() ==
          "Host or domain name not found. Name service error for name=xn--bcher-kva.invalid type=MX: Host not found");
    CHECK(reason("nowhere.test").outcome() == handoff::OUTCOME_BOUNCED);
    CHECK(reason("[192.0.2.77]").text() == "connect to 192.0.2.77[192.0.2.77]:25: Connection refused");
    CHECK(reason("[192.0.2.77]").status() == "4.4.1");
    CHECK(reason("[192.0.2.77").status() == "4.3.5");
    CHECK(lines_of(world, "relay=none").size() >= 8);
}

TEST_CASE("a greeting painted over by a PIX gets HELO, and old mail its dot apart")
{
    World world(
        "S 220 ****************\non HELO *\n S 250 p\non MAIL*\n S 250 ok\non RCPT*\n S 250 ok\non DATA\n S 354 go\n content\n S 250 taken\non QUIT\n S 221 bye\n close");
    world.options.pix_delay = seconds(1);
    CHECK(world.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);   // arrived in 1970
    CHECK(lines_of(world, "4gDq8v1Yc0z3D: enabling PIX workarounds: disable_esmtp delay_dotcrlf for 192.0.2.2[192.0.2.2]:25").size() == 1);
    CHECK(world.peer().sessions().front().said().front() == "HELO client.test");
    CHECK(world.peer().contents() == std::vector<std::string>{"Subject: x\r\n\r\nhello\r\n"});
}

TEST_CASE("replies out of step never return mail")
{
    // A line that is no reply, then a refusal: who knows what it answers.
    World garbage(
        "S 220 p\nC EHLO *\nS 250-p\nS 250 PIPELINING\nC MAIL*\n> RCPT*\n> DATA\nS what is this\nS 250 ok\nS 550 5.1.1 unknown\nS 554 no\nC *\nS 250 ok\nC *\nS 221 x");
    const auto doubtful = garbage.run(request({"user@example.test"})).verdicts(0);
    CHECK(doubtful.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(doubtful.status() == "4.5.0");
    CHECK(lines_of(garbage, "warning: 4gDq8v1Yc0z3D: non-ESMTP response from 192.0.2.2[192.0.2.2]:25: what is this").size() == 1);
    // 354 where RCPT waits.
    World merged("S 220 p\nC EHLO *\nS 250-p\nS 250 PIPELINING\nC MAIL*\nS 250 ok\nS 354 go\nS 550 no\nC *");
    const auto protocol = merged.run(request({"user@example.test"})).verdicts(0);
    CHECK(protocol.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(protocol.text().starts_with("Protocol error: host 192.0.2.2[192.0.2.2] said: 354 go (in reply to RCPT TO command)"));
    // 500 to the second command of a group.
    World refuses(
        "S 220 p\nC EHLO *\nS 250-p\nS 250 PIPELINING\nC MAIL*\nS 250 ok\nS 500 5.5.1 pipelining?\nS 503 5.5.1 no\nC *\nS 250 ok\nC *\nS 221 x");
    CHECK(refuses.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
}

TEST_CASE("whichever I/O step fails, every recipient gets exactly one verdict, and no mail is returned for it")
{
    for (const std::string_view name : {"exchange-2007", "data-only", "no-pipelining"})
        for (const auto kind : {net::Faults::Kind::reset, net::Faults::Kind::end, net::Faults::Kind::timeout}) {
            World counting(name);
            counting.memory.faults = std::make_shared<net::Faults>();
            counting.run(request({"a@example.test", "b@example.test", "c@example.test"}));
            const int steps = counting.memory.faults->steps;
            for (int step = 0; step < steps; ++step) {
                World world(name);
                world.memory.faults = std::make_shared<net::Faults>();
                world.memory.faults->fail_at = step;
                world.memory.faults->kind = kind;
                const auto verdicts = world.run(request({"a@example.test", "b@example.test", "c@example.test"}));
                CAPTURE(name);
                CAPTURE(step);
                REQUIRE(verdicts.verdicts_size() == 3);
                for (const auto& verdict : verdicts.verdicts())
                    CHECK_MESSAGE((verdict.outcome() == handoff::OUTCOME_DELIVERED || verdict.outcome() == handoff::OUTCOME_DEFERRED),
                                  verdict.text());
            }
            CHECK(steps > 10);
        }
}

TEST_CASE("transcripts of listed peers are logged line by line")
{
    struct Listed final : DebugPeers {
        awaitable<bool> listed(std::string name, std::string address) override
        {
            asked.push_back(name + " " + address);
            co_return address == wanted;
        }
        std::string wanted;
        std::vector<std::string> asked;
    } peers;
    World world("data-only");
    world.debug = &peers;
    world.run(request({"user@example.test"}));
    CHECK(peers.asked == std::vector<std::string>{"192.0.2.2 192.0.2.2"});
    CHECK(lines_of(world, "MAIL FROM:").empty());
    peers.wanted = "192.0.2.2";
    world.run(request({"user@example.test"}));
    CHECK(lines_of(world, "> 192.0.2.2[192.0.2.2]:25: MAIL FROM:<sender@client.test> SIZE=21").size() == 1);
    CHECK(lines_of(world, "< 192.0.2.2[192.0.2.2]:25: 250 2.1.0 Sender OK").size() == 1);
    CHECK(lines_of(world, "< 192.0.2.2[192.0.2.2]:25: 250-").size() >= 2);     // a reply of several lines, line by line
    CHECK(lines_of(world, "hello").empty());              // content is not in it
    CHECK(lines_of(world, "> 192.0.2.2[192.0.2.2]:25: .").size() == 1);        // its end is
}

TEST_CASE("addresses that would be commands never reach the wire")
{
    World world("data-only");
    const auto verdicts = world.run(request({"good@example.test", "bad@example.test>\r\nRCPT TO:<x"}));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(verdicts.verdicts(1).status() == "5.1.3");
    for (const std::string& line : world.peer().sessions().front().said())
        CHECK(line.find("RCPT TO:<x") == std::string::npos);
}

TEST_CASE("soft_bounce defers what would be returned, and says so")
{
    World world("refuses-recipients");
    world.options.soft_bounce = true;
    const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
    CHECK(verdict.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(verdict.status() == "4.1.1");
    CHECK(lines_of(world, "status=SOFTBOUNCE").size() == 1);
}

TEST_CASE("TLS: level may takes it where it is offered, sessions in TLS are reused, and what is said before is not believed after")
{
    SystemClock clock;
    WireTls::Settings how;
    how.log_level = 1;
    auto tls = WireTls::make(how, clock);
    REQUIRE(tls.has_value());
    World world;
    world.settings.tls = sim::tls_server("peer.test");
    world.add("192.0.2.2", "starttls");
    world.tls = tls->get();
    world.options.tls_level = TlsLevel::may;
    world.in_turn = true;
    std::vector<handoff::DeliveryRequest> requests;
    requests.push_back(request({"a@example.test"}));
    requests.push_back(request({"b@example.test"}));
    for (const auto& verdicts : world.run(std::move(requests)))
        CHECK_MESSAGE(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED, verdicts.verdicts(0).text());
    CHECK(world.peer().sessions().size() == 1);
    CHECK(world.peer().sessions().front().handshakes == 1);
    CHECK(lines_of(world, "TLS connection established to 192.0.2.2[192.0.2.2]:25: TLSv1.3 with cipher").size() == 1);
    const auto said = world.peer().sessions().front().said();
    CHECK(said[0] == "EHLO client.test");
    CHECK(said[1] == "STARTTLS");
    CHECK(said[2] == "EHLO client.test");
    // SYN aside: greeting, EHLO, STARTTLS, EHLO, envelope, content: with the handshake and the connection 8 round trips.
    CHECK(world.peer().sessions().front().turn_of_content.front() == 5);
}

TEST_CASE("TLS: level encrypt never speaks in clear; a handshake that fails is tried in clear only by level may")
{
    SystemClock clock;
    auto tls = WireTls::make({}, clock);
    REQUIRE(tls.has_value());
    struct Row {
        std::string_view peer;
        TlsLevel level;
        std::string_view status, text;
    };
    const std::string_view broken =
        "S 220 p ESMTP\non EHLO *\n S 250-p\n S 250 STARTTLS\non STARTTLS\n S 220 go\n flush\n s nonsense\\r\\n\n flush\n close\n"
        "on MAIL*\n S 250 ok\non RCPT*\n S 250 ok\non DATA\n S 354 go\n content\n S 250 2.0.0 taken\non QUIT\n S 221 bye\n close";
    for (const Row& row : std::initializer_list<Row>{
             {"data-only", TlsLevel::encrypt, "4.7.4", "TLS is required, but was not offered by host 192.0.2.2[192.0.2.2]"},
             {"refuses-starttls", TlsLevel::encrypt, "4.7.5", "TLS is required, but host 192.0.2.2[192.0.2.2] refused to start TLS: 454 4.7.0"},
             {broken, TlsLevel::encrypt, "4.7.5", "Cannot start TLS: handshake failure"},
             {broken, TlsLevel::may, "2.0.0", "taken"},
             {"refuses-starttls", TlsLevel::may, "2.6.0", "Queued"},
         }) {
        CAPTURE(row.text);
        World world(row.peer);
        world.tls = tls->get();
        world.options.tls_level = row.level;
        const auto verdict = world.run(request({"user@example.test"})).verdicts(0);
        CHECK(verdict.status() == row.status);
        CHECK_MESSAGE(verdict.text().find(row.text) != std::string::npos, verdict.text());
        if (row.level == TlsLevel::encrypt)
            for (const sim::Session& session : world.peer().sessions())
                for (const std::string& line : session.said())
                    CHECK(!line.starts_with("MAIL"));
    }
}

TEST_CASE(
    "no PIPELINING: what a probe has opened is taken back while nobody waits, so that the next one begins with MAIL; if the peer goes over it, nobody is hurt")
{
    for (const bool closes : {false, true}) {
        CAPTURE(closes);
        World world(closes ? "like no-pipelining\nhost peer.test\nS 220 $host ESMTP\non RSET\n  close\n" : "no-pipelining");
        world.in_turn = true;
        std::vector<handoff::DeliveryRequest> requests;
        for (int i = 0; i < 3; ++i)
            requests.push_back(probe({"user@peer.test"}));
        for (const auto& verdicts : world.run(std::move(requests)))
            CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(world.peer().sessions().size() == (closes ? 3 : 1));
        const std::vector<std::string> said = world.peer().sessions().front().said();
        REQUIRE(said.size() >= 4);
        CHECK(said[3] == "RSET");
        if (!closes) {
            CHECK(std::ranges::count(said, "RSET") == 3);           // behind the last one too: it cannot know
            CHECK(said.back() == "QUIT");
        }
    }
}

TEST_CASE("a probe that ends with DATA, cut off behind a recipient that was accepted: that one is asked again, and has the answer of its own DATA")
{
    World world("like data-only\non RCPT TO:<b@*\n  close\n");
    world.options.probe_data = true;
    const auto verdicts = world.run(probe({"a@peer.test", "b@peer.test", "c@peer.test"}));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(verdicts.verdicts(1).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(verdicts.verdicts(2).outcome() == handoff::OUTCOME_DELIVERED);
}
