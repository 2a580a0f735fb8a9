#include "milter/testing.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;
using milter::testing::answer;
using milter::testing::Filter;
using milter::testing::numbered;
using milter::testing::text;

namespace {

/// example.test goes to local, everything else to mx.next.test.
struct FakeRouter final : handoff::Router {
    awaitable<Result<std::vector<handoff::Route>>> route(std::string, std::vector<std::string> addresses) override
    {
        std::vector<handoff::Route> routes;
        for (const std::string& address : addresses) {
            handoff::Route& made = routes.emplace_back();
            made.set_address(address.find('@') == address.npos ? address + "@mx.example.test" : address);
            made.set_transport(address.ends_with("@example.test") ? "local" : "smtp");
            made.set_nexthop(address.ends_with("@example.test") ? "example.test" : "mx.next.test");
        }
        co_return routes;
    }
};

struct MilterRig {
    explicit MilterRig(std::vector<std::pair<std::string, std::string>> with = {}) : filter(house.loop), settings(std::move(with))
    {
        house.router = &router;
        settings.emplace_back("smtpd_milters", filter.place());
        house.options = options_of(settings);
    }
    ~MilterRig()
    {
        wait([&] { return filter.ends >= filter.connections; });
        run(house.loop, filter.listener.close());
    }
    template <class Condition>
    bool wait(Condition condition)
    {
        for (int turn = 0; turn < 1000 && !condition(); ++turn) {
            house.loop.restart();
            house.loop.run_for(std::chrono::milliseconds(5));
        }
        return condition();
    }
    /// The last line of what is said to one segment; the client may have to wait for the filter.
    std::string say(Talk& talk, std::string_view octets, std::size_t replies = 1)
    {
        std::string all;
        if (!octets.empty())
            talk.write(octets);
        wait([&] { return lines_of(all += talk.receive()).size() >= replies || talk.ended(); });
        const auto lines = lines_of(all += talk.receive());
        return lines.empty() ? "" : lines.back();
    }
    std::string greeted(Talk& talk) { return talk.greeting.empty() ? say(talk, "") : std::string(trim(talk.greeting)); }
    /// Greeting to end of message, in the client's usual steps; the last reply.
    std::string deliver(Talk& talk, std::string_view octets = "Subject: s\r\n\r\nbody\r\n")
    {
        greeted(talk);
        say(talk, "HELO client.test\r\n");
        say(talk, "MAIL FROM:<a@b.test>\r\n");
        say(talk, "RCPT TO:<user@example.test>\r\n");
        if (const std::string go = say(talk, "DATA\r\n"); !go.starts_with("354"))
            return go;
        return say(talk, std::string(octets) + ".\r\n");
    }
    const handoff::Envelope& envelope() { return house.queue.stored.at(0).first; }
    std::string stored() { return house.queue.stored.at(0).second.inline_octets(); }

    House house;
    FakeRouter router;
    Filter filter;
    std::vector<std::pair<std::string, std::string>> settings;
};

}  // namespace

TEST_CASE("Milters: a session, as the filter hears it, with the macros that Postfix has by default")
{
    MilterRig rig;
    Talk talk(rig.house);
    rig.greeted(talk);
    rig.say(talk, "EHLO client.test\r\n", 5);
    rig.say(talk, "MAIL FROM:<a@b.test> BODY=8BITMIME\r\nRCPT TO:<user@example.test>\r\nRCPT TO:<other@example.test>\r\nDATA\r\n", 4);
    CHECK(rig.say(talk, "Subject: s\r\n\r\nbody\r\n.\r\n") == "250 2.0.0 Ok: queued as Q1");
    rig.say(talk, "HUH\r\n");
    rig.say(talk, "MAIL FROM:<>\r\n");
    rig.say(talk, "RSET\r\n");
    CHECK(rig.say(talk, "QUIT\r\n") == "221 2.0.0 Bye");
    CHECK(rig.wait([&] { return rig.filter.ends == 1; }));
    CHECK(rig.filter.all_heard() ==
          "CONNECT client.test 4 40000 192.0.2.1\nHELO client.test\nMAIL <a@b.test>|BODY=8BITMIME\nRCPT <user@example.test>\n"
          "RCPT <other@example.test>\nDATA\nHEADER Subject|s\nEOH\nBODY 6\nEOB\nUNKNOWN HUH\nMAIL <>\nABORT\nQUIT\n");
    REQUIRE(rig.filter.macros.size() == 12);
    CHECK(rig.filter.macros[0].starts_with("MACRO C j=mx.example.test {daemon_name}=mx.example.test {daemon_addr}=192.0.2.2 v=Posthorn "));
    CHECK(rig.filter.macros[0].ends_with(" _=client.test [192.0.2.1]"));
    CHECK(rig.filter.macros[1] == "MACRO H");
    CHECK(rig.filter.macros[2] == "MACRO M {mail_addr}=a@b.test {mail_host}=mx.next.test {mail_mailer}=smtp");
    CHECK(rig.filter.macros[3] == "MACRO R {rcpt_addr}=user@example.test {rcpt_host}=example.test {rcpt_mailer}=local");
    CHECK(rig.filter.macros[4] == "MACRO R i=Q1 {rcpt_addr}=other@example.test {rcpt_host}=example.test {rcpt_mailer}=local");
    CHECK(rig.filter.macros[5] == "MACRO T i=Q1");
    CHECK(rig.filter.macros[9] == "MACRO E i=Q1");
    CHECK(rig.filter.macros[11] == "MACRO M {mail_addr}= {mail_host}= {mail_mailer}=");
    CHECK(rig.stored().ends_with("Subject: s\r\n\r\nbody\r\n"));
    CHECK(rig.filter.bodies == "body\r\n");
}

TEST_CASE("Milters: refusals of commands, in Postfix's words, and the session goes on")
{
    MilterRig rig;
    rig.filter.script = {{"MAIL <bad@", answer('r')},
                         {"RCPT <user@", answer('y', text("451-4.7.9 wait\r\n451 4.7.9 a little"))},
                         {"DATA", answer('t')},
                         {"UNKNOWN", answer('y', text("500 5.7.0 what"))}};
    Talk talk(rig.house);
    rig.greeted(talk);
    rig.say(talk, "HELO client.test\r\n");
    CHECK(rig.say(talk, "MAIL FROM:<bad@b.test>\r\n") == "550 5.7.1 Command rejected");
    CHECK(rig.say(talk, "MAIL FROM:<a@b.test>\r\n") == "250 2.1.0 Ok");
    CHECK(rig.say(talk, "RCPT TO:<user@example.test>\r\n", 2) == "451 4.7.9 a little");
    CHECK(rig.say(talk, "RCPT TO:<other@example.test>\r\n") == "250 2.1.5 Ok");
    CHECK(rig.say(talk, "DATA\r\n") == "451 4.7.1 Service unavailable - try again later");
    CHECK(rig.say(talk, "RCPT TO:<postmaster@example.test>\r\n") == "250 2.1.5 Ok");
    CHECK(rig.say(talk, "DATA\r\n") == "451 4.7.1 Service unavailable - try again later");
    CHECK(rig.say(talk, "HUH\r\n") == "500 5.7.0 what");
    CHECK(rig.house.logged("NOQUEUE: milter-reject: MAIL from client.test[192.0.2.1]: 550 5.7.1 Command rejected; from=<bad@b.test> proto=SMTP "
                           "helo=<client.test>"));
    // Of several recipients the first is named.
    CHECK(std::ranges::count(rig.house.log(), "Q1: milter-reject: DATA from client.test[192.0.2.1]: 451 4.7.1 Service unavailable - try again later; "
                                              "from=<a@b.test> to=<other@example.test> proto=SMTP helo=<client.test>") == 2);
    CHECK(rig.house.queue.stored.empty());
}

TEST_CASE("Milters: a refused connection and HELO are said to MAIL, except where the session ends")
{
    SUBCASE("refused for good")
    {
        MilterRig rig;
        rig.filter.script = {{"CONNECT", answer('r')}};
        Talk talk(rig.house);
        CHECK(rig.greeted(talk) == "554 mx.example.test ESMTP not accepting connections");
        CHECK(rig.say(talk, "EHLO client.test\r\n", 2) == "250 ENHANCEDSTATUSCODES");
        CHECK(rig.say(talk, "MAIL FROM:<a@b.test>\r\n") == "550 5.7.1 Command rejected");
        CHECK(
            rig.house.logged("NOQUEUE: milter-reject: EHLO from client.test[192.0.2.1]: 550 5.7.1 Command rejected; proto=SMTP helo=<client.test>"));
        CHECK(rig.house.logged("NOQUEUE: milter-reject: MAIL from client.test[192.0.2.1]: 550 5.7.1 Command rejected; from=<a@b.test> proto=ESMTP "
                               "helo=<client.test>"));
    }
    SUBCASE("refused for now")
    {
        MilterRig rig;
        rig.filter.script = {{"HELO", answer('t')}};
        Talk talk(rig.house);
        CHECK(rig.greeted(talk) == "220 mx.example.test ESMTP Posthorn");
        CHECK(rig.say(talk, "HELO client.test\r\n") == "250 mx.example.test");
        CHECK(rig.say(talk, "MAIL FROM:<a@b.test>\r\n") == "451 4.7.1 Service unavailable - try again later");
    }
    SUBCASE("hang up")
    {
        MilterRig rig;
        rig.filter.script = {{"CONNECT", answer('4')}};
        Talk talk(rig.house);
        CHECK(rig.greeted(talk) == "421 mx.example.test Service unavailable - try again later");
        CHECK(talk.ended());
        CHECK(rig.house.logged("NOQUEUE: milter-reject: CONNECT from client.test[192.0.2.1]: 421 4.7.0 Server closing connection; proto=SMTP"));
    }
}

TEST_CASE("Milters: the postmaster is told of their refusals as of policy, whatever the filter has said wrong")
{
    for (const std::string_view stage : {"MAIL", "RCPT", "DATA"}) {
        const auto told = [&](std::string classes) {
            MilterRig rig({{"notify_classes", std::move(classes)}});
            rig.filter.script = {{std::string(stage), answer('y', text("250 fine"))}};
            Talk talk(rig.house);
            CHECK(rig.deliver(talk) != "250 2.0.0 Ok: queued as Q1");
            rig.say(talk, "QUIT\r\n");
            return rig.house.postmaster.told.size();
        };
        CAPTURE(stage);
        CHECK(told("resource, software") == 0);
        CHECK(told("policy") == 1);
    }
}

TEST_CASE("Milters: verdicts at the end of a message")
{
    const auto end = [](MilterRig& rig, std::string verdict) {
        rig.filter.script = {{"EOB", std::move(verdict)}};
        Talk talk(rig.house);
        return rig.deliver(talk);
    };
    constexpr std::string_view who = "from=<a@b.test> to=<user@example.test> proto=SMTP helo=<client.test>";
    SUBCASE("reject")
    {
        MilterRig rig;
        CHECK(end(rig, answer('y', text("550 5.7.1 spam"))) == "550 5.7.1 spam");
        CHECK(std::ranges::find(rig.house.sink->lines, fmt::format("postfix/cleanup: Q1: milter-reject: END-OF-MESSAGE from client.test[192.0.2.1]: "
                                                                   "5.7.1 spam; {}",
                                                                   who)) != rig.house.sink->lines.end());
        CHECK(rig.house.queue.stored.empty());
    }
    SUBCASE("hold")
    {
        MilterRig rig;
        CHECK(end(rig, answer('q', text("why")) + answer('c')) == "250 2.0.0 Ok: queued as Q1");
        CHECK(rig.house.logged(fmt::format("Q1: milter-hold: END-OF-MESSAGE from client.test[192.0.2.1]: milter triggers HOLD action; {}", who)));
        CHECK(rig.envelope().hold());
    }
    SUBCASE("discard: the client is told that it was taken")
    {
        MilterRig rig;
        CHECK(end(rig, answer('d')) == "250 2.0.0 Ok: queued as Q1");
        CHECK(
            rig.house.logged(fmt::format("Q1: milter-discard: END-OF-MESSAGE from client.test[192.0.2.1]: milter triggers DISCARD action; {}", who)));
        CHECK(rig.house.queue.stored.empty());
    }
    SUBCASE("hang up")
    {
        MilterRig rig;
        CHECK(end(rig, answer('4')) == "421 4.7.0 Server closing connection");
        CHECK(rig.house.queue.stored.empty());
    }
    SUBCASE("discard before the content: the filter is asked no more")
    {
        MilterRig rig;
        rig.filter.script = {{"RCPT", answer('d')}};
        Talk talk(rig.house);
        CHECK(rig.deliver(talk).starts_with("250 2.0.0 Ok: queued as "));
        CHECK(rig.house.queue.stored.empty());
        CHECK(rig.filter.all_heard().find("EOB") == std::string::npos);
    }
}

TEST_CASE("Milters: what they change is what is stored, in memory and in a file")
{
    MilterRig rig;
    rig.filter.script = {
        {"EOB", answer('i', numbered(1, text("X-Seen") + text("yes"))) + answer('m', numbered(1, text("Subject") + text("new"))) + answer('c')}};
    Talk talk(rig.house);
    CHECK(rig.deliver(talk) == "250 2.0.0 Ok: queued as Q1");
    CHECK(rig.stored().starts_with("Received: "));
    CHECK(rig.stored().ends_with("\r\nX-Seen: yes\r\nSubject: new\r\n\r\nbody\r\n"));
    CHECK(rig.envelope().size() == rig.stored().size());

    std::string body;
    for (int line = 0; body.size() < 700'000; ++line)
        body += fmt::format("line {} of a large message\r\n", line);
    const auto large = [&](std::string verdict) {
        rig.filter.script = {{"EOB", std::move(verdict)}};
        rig.filter.bodies.clear();
        const std::string reply = rig.deliver(talk, "Subject: s\r\n\r\n" + body);
        CHECK(rig.filter.bodies == body);
        return reply;
    };
    CHECK(large(answer('h', text("X-Seen") + text("large")) + answer('c')) == "250 2.0.0 Ok: queued as Q2");
    const std::string file = rig.house.queue.stored.at(1).second.file();
    CHECK(file == "incoming/Q2");
    const std::string octets = rig.house.folder.files.at(file);
    CHECK(octets.ends_with("\r\nSubject: s\r\nX-Seen: large\r\n\r\n" + body));
    CHECK(rig.house.queue.stored.at(1).first.size() == octets.size());
    CHECK(rig.house.folder.synced.contains(file));
    CHECK(rig.house.folder.files.size() == 1);
    // Its place is taken by something small: no file is left.
    CHECK(large(answer('b', "small\n") + answer('c')) == "250 2.0.0 Ok: queued as Q3");
    CHECK(rig.house.queue.stored.at(2).second.inline_octets().ends_with("\r\nSubject: s\r\n\r\nsmall\r\n"));
    CHECK(rig.house.folder.files.size() == 1);
}

TEST_CASE("Milters: a new body counts against the memory of all, and is given back")
{
    MilterRig rig({{"smtpd_memory_limit", "1048576"}});
    rig.filter.script = {{"EOB", answer('b', std::string(900'000, 'x')) + answer('b', std::string(900'000, 'y')) + answer('c')}};
    Talk talk(rig.house);
    CHECK(rig.deliver(talk) == "452 4.3.1 Insufficient system storage");
    CHECK(rig.house.queue.stored.empty());
    CHECK(rig.house.whole_log().find("no memory is left for the new body") != std::string::npos);      // before it was there whole
    rig.filter.script = {{"EOB", answer('b', std::string(100'000, 'x')) + answer('c')}};
    CHECK(rig.deliver(talk) == "250 2.0.0 Ok: queued as Q2");
}

TEST_CASE("Milters: BDAT, recipients that we refuse, and TLS-less macros at RCPT")
{
    MilterRig rig;
    rig.filter.steps = milter::step::rejected_recipients;
    Talk talk(rig.house);
    rig.greeted(talk);
    rig.say(talk, "EHLO client.test\r\n", 5);
    rig.say(talk, "MAIL FROM:<a@b.test>\r\n");
    CHECK(rig.say(talk, "RCPT TO:<nobody@example.test>\r\n").starts_with("550 5.1.1 "));
    CHECK(rig.say(talk, "RCPT TO:<user@example.test>\r\n") == "250 2.1.5 Ok");
    CHECK(rig.say(talk, "BDAT 12\r\nSubject: s\r\n") == "250 2.0.0 Ok: 12 bytes");
    CHECK(rig.say(talk, "BDAT 8 LAST\r\n\r\nbody\r\n") == "250 2.0.0 Ok: 20 bytes queued as Q1");
    CHECK(rig.filter.all_heard().ends_with("RCPT <nobody@example.test>\nRCPT <user@example.test>\nDATA\nHEADER Subject|s\nEOH\nBODY 6\nEOB\n"));
    const auto macro = [&](std::string_view line) { return std::ranges::find(rig.filter.macros, line) != rig.filter.macros.end(); };
    CHECK(macro("MACRO M {mail_addr}=a@b.test {mail_host}=mx.next.test {mail_mailer}=smtp"));
    CHECK(macro("MACRO R {rcpt_addr}=user@example.test {rcpt_host}=example.test {rcpt_mailer}=local"));
    CHECK(macro("MACRO R {rcpt_addr}=Recipient address rejected: User unknown in local recipient table "
                "{rcpt_host}=5.1.1 {rcpt_mailer}=error"));
    CHECK(macro("MACRO T i=Q1"));
}

TEST_CASE("Milters: an address is told as it is routed: with the domain that it lacks, and in lower case, as in Postfix")
{
    MilterRig rig({{"milter_rcpt_macros", "{rcpt_addr}"}, {"milter_mail_macros", "{mail_addr}"}});
    Talk talk(rig.house);
    rig.greeted(talk);
    rig.say(talk, "HELO client.test\r\n");
    rig.say(talk, "MAIL FROM:<Root>\r\n");
    CHECK(rig.say(talk, "RCPT TO:<Postmaster>\r\n") == "250 2.1.5 Ok");
    const auto macro = [&](std::string_view line) { return std::ranges::find(rig.filter.macros, line) != rig.filter.macros.end(); };
    CHECK(macro("MACRO M {mail_addr}=root@mx.example.test"));
    CHECK(macro("MACRO R {rcpt_addr}=postmaster@mx.example.test"));
    CHECK(rig.filter.all_heard().ends_with("MAIL <Root>\nRCPT <Postmaster>\n"));
}

TEST_CASE("Milters: a filter that is away has the default action, and its warning")
{
    MilterRig rig;
    rig.settings.emplace_back("smtpd_milters", "inet:127.0.0.1:1");
    for (const auto& [action, last] : std::vector<std::pair<std::string, std::string>>{{"accept", "250 2.0.0 Ok: queued as Q1"},
                                                                                       {"tempfail", "503 5.5.1 Error: need RCPT command"},
                                                                                       {"quarantine", "250 2.0.0 Ok: queued as Q2"}}) {
        CAPTURE(action);
        rig.settings.emplace_back("milter_default_action", action);
        rig.house.options = options_of(rig.settings);
        {
            Talk talk(rig.house);
            CHECK(rig.deliver(talk) == last);
        }
        rig.house.server.reset();
    }
    REQUIRE(rig.house.queue.stored.size() == 2);
    CHECK_FALSE(rig.envelope().hold());
    CHECK(rig.house.queue.stored.at(1).first.hold());
    CHECK(rig.house.logged("warning: connect to Milter service inet:127.0.0.1:1: Connection refused"));
}

TEST_CASE("Milters: smtpd_milter_maps by client, DISABLE, no_milters; a session without them opens no connection")
{
    const auto connections = [](std::vector<std::pair<std::string, std::string>> settings, std::string client = "192.0.2.1") {
        MilterRig rig(std::move(settings));
        {
            Talk talk(rig.house, std::move(client));
            CHECK(rig.deliver(talk) == "250 2.0.0 Ok: queued as Q1");
        }
        return rig.filter.connections;
    };
    CHECK(connections({}) == 1);
    CHECK(connections({{"smtpd_milter_maps", "cidr:{{192.0.2.0/28 DISABLE}}"}}) == 0);
    CHECK(connections({{"smtpd_milter_maps", "cidr:{{192.0.2.0/28 disable}}"}}, "192.0.2.100") == 1);
    CHECK(connections({{"receive_override_options", "no_address_mappings, no_milters"}}) == 0);
    CHECK_THROWS_WITH(options_of({{"smtpd_milters", "localhost:1"}}),
                      "bad configuration: smtpd_milters: \"localhost:1\": expected inet:host:port or unix:path");
    CHECK_THROWS_WITH(options_of({{"milter_default_action", "perhaps"}}),
                      "bad configuration: milter_default_action = perhaps: expected accept, reject, tempfail, quarantine or shutdown");
    CHECK_THROWS_WITH(options_of({{"milter_protocol", "5"}}), "bad configuration: milter_protocol: bad protocol information: 5");
}
