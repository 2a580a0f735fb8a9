#include "receive/session.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

constexpr std::string_view ehlo_text =
    "250-mx.example.test\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-VRFY\r\n250-ETRN\r\n250-ENHANCEDSTATUSCODES\r\n"
    "250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n";

constexpr std::string_view group_reply =
    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in local recipient table\r\n"
    "250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n";

}  // namespace

TEST_CASE("session: a message is taken, stored, and only then acknowledged, with Postfix's replies and log lines")
{
    House house;
    constexpr std::string_view script = R"(
        S 220 mx.example.test ESMTP Posthorn
        C EHLO client.test
        S 250-mx.example.test
        S 250-PIPELINING
        S 250-SIZE 10240000
        S 250-VRFY
        S 250-ETRN
        S 250-ENHANCEDSTATUSCODES
        S 250-8BITMIME
        S 250-DSN
        S 250-SMTPUTF8
        S 250 CHUNKING
        C MAIL FROM:<a@b.test> SIZE=100 RET=HDRS ENVID=x+2By BODY=8BITMIME
        > RCPT TO:<user@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;u+40e
        > DATA
        S 250 2.1.0 Ok
        S 250 2.1.5 Ok
        S 354 End data with <CR><LF>.<CR><LF>
        C Subject: hello
        >
        > ..dot
        > .
        > QUIT
        S 250 2.0.0 Ok: queued as Q1
        S 221 2.0.0 Bye)";
    CHECK(said(house, script) == written(script));
    REQUIRE(house.queue.stored.size() == 1);
    const auto& [envelope, content] = house.queue.stored.front();
    CHECK(envelope.sender() == "a@b.test");
    CHECK(envelope.queue_id() == "Q1");
    CHECK(envelope.ret() == handoff::RET_HDRS);
    CHECK(envelope.envid() == "x+y");
    CHECK(envelope.body() == handoff::BODY_8BIT);
    REQUIRE(envelope.recipients_size() == 1);
    CHECK(envelope.recipients(0).address() == "user@example.test");
    CHECK(envelope.recipients(0).orcpt() == "rfc822;u@e");
    CHECK(envelope.recipients(0).notify() == (handoff::NOTIFY_SUCCESS | handoff::NOTIFY_DELAY));
    CHECK(envelope.client().name() == "client.test");
    CHECK(envelope.client().protocol() == "ESMTP");
    CHECK(content.inline_octets() == "Received: from client.test (client.test [192.0.2.1])\r\n\tby mx.example.test (Posthorn) with ESMTP id Q1\r\n"
                                     "\tfor <user@example.test>; Thu,  1 Jan 2026 00:00:00 +0000 (UTC)\r\nSubject: hello\r\n\r\n.dot\r\n");
    CHECK(envelope.size() == content.inline_octets().size());
    CHECK(house.log() == std::vector<std::string>{"connect from client.test[192.0.2.1]", "Q1: client=client.test[192.0.2.1]",
                                                  "disconnect from client.test[192.0.2.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"});
    CHECK(house.smtpd().counters().memory == 0);
    CHECK(house.smtpd().counters().sessions == 0);
}

TEST_CASE("session: a recipient's domain with a final dot is the one without it; what was said is kept")
{
    House house;
    Talk talk(house);
    REQUIRE(talk("EHLO client.test").starts_with("250"));
    REQUIRE(talk.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test.>\r\nRCPT TO:<other@example.test>\r\nDATA\r\n").find("354") !=
            std::string::npos);
    REQUIRE(talk("Subject: x\r\n\r\nx\r\n.").starts_with("250 2.0.0 Ok"));
    const auto& recipients = house.queue.stored.back().first.recipients();
    REQUIRE(recipients.size() == 2);
    CHECK(recipients[0].address() == "user@example.test");
    CHECK(recipients[0].original() == "user@example.test.");
    CHECK(recipients[1].original().empty());
}

TEST_CASE("session: each command in each state gets Postfix's reply")
{
    struct Row {
        std::string_view state, command, reply;
    };
    // States: fresh (greeted), hello (EHLO), mail (MAIL), rcpt (one recipient), chunk (a BDAT chunk that is not the last).
    constexpr Row rows[] = {
        {"fresh", "MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"},
        {"fresh", "MAIL FROM:<a@b.test>", "250 2.1.0 Ok"},
        {"fresh", "RCPT TO:<user@example.test>", "503 5.5.1 Error: need MAIL command"},
        {"fresh", "DATA", "503 5.5.1 Error: need RCPT command"},
        {"fresh", "HELO", "501 Syntax: HELO hostname"},
        {"fresh", "EHLO", "501 Syntax: EHLO hostname"},
        {"fresh", "HELO x", "250 mx.example.test"},
        {"fresh", "NOOP", "250 2.0.0 Ok"},
        {"fresh", "RSET", "250 2.0.0 Ok"},
        {"fresh", "QUIT", "221 2.0.0 Bye"},
        {"fresh", "STARTTLS", "502 5.5.1 Error: command not implemented"},
        {"fresh", "", "500 5.5.2 Error: bad syntax"},
        {"fresh", "\x80", "500 5.5.2 Error: bad UTF-8 syntax"},
        {"fresh", "CONNECT x", "221 2.7.0 Error: I can break rules, too. Goodbye."},
        {"fresh", "GET / HTTP/1.0", "221 2.7.0 Error: I can break rules, too. Goodbye."},
        {"fresh", "Subject: x", "221 2.7.0 Error: I can break rules, too. Goodbye."},
        {"hello", "HELO x", "250 mx.example.test"},
        {"hello", "FOO", "500 5.5.2 Error: command not recognized"},
        {"hello", "EXPN x", "500 5.5.2 Error: command not recognized"},
        {"hello", "LHLO x", "500 5.5.2 Error: command not recognized"},
        {"hello", "TURN", "500 5.5.2 Error: command not recognized"},
        {"hello", "MAIL FROM", "501 5.5.4 Syntax: MAIL FROM:<address>"},
        {"hello", "MAIL FROM:<", "501 5.1.7 Bad sender address syntax"},
        {"hello", "MAIL FROM:<user%@example.test>", "501 5.1.7 Bad sender address syntax"},
        {"hello", "MAIL FROM:<a@b> SIZE=x", "501 5.5.4 Bad message size syntax"},
        {"hello", "MAIL FROM:<a@b> SIZE=99999999999", "552 5.3.4 Message size exceeds fixed limit"},
        {"hello", "MAIL FROM:<a@b> FOO=x", "555 5.5.4 Unsupported option: FOO=x"},
        {"hello", "MAIL FROM:<>", "250 2.1.0 Ok"},
        {"hello", "mail from:<a@b.test>", "250 2.1.0 Ok"},
        {"hello", "RCPT TO:<user@example.test>", "503 5.5.1 Error: need MAIL command"},
        {"hello", "DATA", "503 5.5.1 Error: need RCPT command"},
        {"hello", "BDAT 0 LAST", "503 5.5.1 Error: need RCPT command"},
        {"hello", "BDAT", "521 5.5.4 Syntax: BDAT count [LAST]"},
        {"hello", "BDAT x", "521 5.5.4 Syntax: BDAT count [LAST]"},
        {"hello", "RSET", "250 2.0.0 Ok"},
        {"hello", "RSET x", "501 5.5.4 Syntax: RSET"},
        {"hello", "NOOP x y", "250 2.0.0 Ok"},
        {"hello", "VRFY", "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"},
        {"hello", "VRFY user@example.test", "252 2.0.0 user@example.test"},
        {"hello", "VRFY nobody@example.test", "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in local recipient table"},
        {"hello", "VRFY x@elsewhere.test", "454 4.7.1 <x@elsewhere.test>: Relay access denied"},
        {"hello", "ETRN", "500 Syntax: ETRN domain"},
        {"hello", "ETRN foo", "459 <foo>: service unavailable"},
        {"hello", "AUTH PLAIN", "503 5.5.1 Error: authentication not enabled"},
        {"hello", "XCLIENT NAME=x", "550 5.7.0 Error: insufficient authorization"},
        {"hello", "XFORWARD NAME=x", "550 5.7.0 Error: insufficient authorization"},
        {"hello", "STARTTLS x", "501 5.5.4 Syntax: STARTTLS"},
        {"hello", "HELP", "214 2.0.0 Commands: BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY"},
        {"mail", "MAIL FROM:<c@d.test>", "503 5.5.1 Error: nested MAIL command"},
        {"mail", "DATA", "554 5.5.1 Error: no valid recipients"},
        {"mail", "BDAT 0 LAST", "554 5.5.1 Error: no valid recipients"},
        {"mail", "RCPT", "501 5.5.4 Syntax: RCPT TO:<address>"},
        {"mail", "RCPT TO:", "501 5.5.4 Syntax: RCPT TO:<address>"},
        {"mail", "RCPT TO:<>", "501 5.1.3 Bad recipient address syntax"},
        {"mail", "RCPT TO:<user%@example.test>", "501 5.1.3 Bad recipient address syntax"},
        {"mail", "RCPT TO:<user@example.test> NOTIFY=x", "501 5.5.4 Error: Bad NOTIFY parameter syntax"},
        {"mail", "RCPT TO:<user@example.test> ORCPT=x", "501 5.5.4 Error: Bad ORCPT parameter syntax"},
        {"mail", "RCPT TO:<postmaster>", "250 2.1.5 Ok"},
        {"mail", "ETRN foo", "503 Error: MAIL transaction in progress"},
        {"mail", "STARTTLS", "503 5.5.1 Error: MAIL transaction in progress"},
        {"mail", "EHLO again", "250-mx.example.test"},
        {"rcpt", "DATA x", "501 5.5.4 Syntax: DATA"},
        {"rcpt", "RCPT TO:<other@example.test>", "250 2.1.5 Ok"},
        {"rcpt", "DATA", "354 End data with <CR><LF>.<CR><LF>"},
        {"rcpt", "BDAT 0", "250 2.0.0 Ok: 0 bytes"},
        {"rcpt", "BDAT 0 LAST", "250 2.0.0 Ok: 0 bytes queued as Q1"},
        {"rcpt", "BDAT 2 LAST x", "521 5.5.4 Syntax: BDAT count [LAST]"},
        {"chunk", "DATA", "503 5.5.1 Error: DATA after BDAT"},
        {"chunk", "RCPT TO:<other@example.test>", "503 5.5.1 Error: RCPT after BDAT"},
        {"chunk", "MAIL FROM:<a@b.test>", "503 5.5.1 Error: nested MAIL command"},
        {"chunk", "BDAT 0 LAST", "250 2.0.0 Ok: 4 bytes queued as Q1"},
        {"chunk", "RSET", "250 2.0.0 Ok"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.state);
        CAPTURE(row.command);
        House house;
        Talk talk(house);
        if (row.state != "fresh")
            talk("EHLO client.test");
        if (row.state == "mail" || row.state == "rcpt" || row.state == "chunk")
            CHECK(talk("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok\r\n");
        if (row.state == "rcpt" || row.state == "chunk")
            CHECK(talk("RCPT TO:<user@example.test>") == "250 2.1.5 Ok\r\n");
        if (row.state == "chunk")
            CHECK(talk.send("BDAT 4\r\nab\r\n") == "250 2.0.0 Ok: 4 bytes\r\n");
        const std::string reply = talk(row.command);
        CHECK(reply.substr(0, reply.find("\r\n")) == row.reply);
        CHECK(house.queue.stored.size() == (row.reply.find("queued as") != std::string_view::npos ? 1 : 0));
    }
}

TEST_CASE("pipelining: the replies to a group are the same wherever it is cut, and leave in one write where it is not")
{
    const std::string stream = std::string(group);
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        CAPTURE(cut);
        House house;
        Talk talk(house);
        CHECK(talk("EHLO client.test") == ehlo_text);
        const std::size_t before = talk.segments_from_server();
        const std::string first = cut == 0 ? "" : talk.send(stream.substr(0, cut));
        CHECK(first + (cut == stream.size() ? "" : talk.send(stream.substr(cut))) == group_reply);
        if (cut == 0 || cut == stream.size())
            CHECK(talk.segments_from_server() == before + 1);
        CHECK(talk.send("Subject: x\r\n\r\nbody\r\n.\r\n") == "250 2.0.0 Ok: queued as Q1\r\n");
        CHECK(house.queue.stored.size() == 1);
    }
}

TEST_CASE("pipelining: content, the next transaction and QUIT behind it are answered octet by octet as in one piece")
{
    const std::string stream =
        "a: b\r\n\r\nx\r\n..y\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\nBDAT 6\r\nMAIL\r\nBDAT 2 LAST\r\n\r\nRSET\r\nNOOP\r\n";
    const std::string replies = "250 2.0.0 Ok: queued as Q1\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok: 6 bytes\r\n"
                                "250 2.0.0 Ok: 8 bytes queued as Q2\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n";
    // Every cut in two, and every octet alone.
    for (std::size_t cut = 0; cut <= stream.size() + 1; ++cut) {
        CAPTURE(cut);
        House house;
        Talk talk(house);
        talk("EHLO client.test");
        CHECK(talk.send(group) == group_reply);
        std::string got;
        if (cut <= stream.size()) {
            got = cut == 0 ? "" : talk.send(stream.substr(0, cut));
            got += cut == stream.size() ? "" : talk.send(stream.substr(cut));
        } else {
            for (const char octet : stream)
                got += talk.send(std::string_view(&octet, 1));
        }
        CHECK(got == replies);
        REQUIRE(house.queue.stored.size() == 2);
        CHECK(house.queue.stored[0].second.inline_octets().ends_with("\r\na: b\r\n\r\nx\r\n.y\r\n"));
        CHECK(house.queue.stored[1].second.inline_octets().ends_with("\r\nMAIL\r\n\r\n"));
    }
}

TEST_CASE("pipelining: what RFC 2920 does not allow is answered with 554 and the end, and logged as Postfix does")
{
    struct Row {
        std::string_view before, octets, after, evidence;
    };
    constexpr Row rows[] = {
        {"", "EHLO x\r\nMAIL FROM:<>\r\n", "EHLO", "MAIL FROM:<>\\r\\n"},
        {"", "HELO x\r\nQUIT\r\n", "HELO", "QUIT\\r\\n"},
        {"EHLO x\r\n", "NOOP\r\nRSET\r\n", "NOOP", "RSET\\r\\n"},
        {"EHLO x\r\n", "VRFY a\r\nRSET\r\n", "VRFY", "RSET\\r\\n"},
        {"HELO x\r\n", "MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\n", "MAIL", "RCPT TO:<user@example.test>\\r\\n"},
        {"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\n", "DATA\r\nSubject: early\r\n", "DATA", "Subject: early\\r\\n"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.octets);
        House house;
        Talk talk(house);
        for (const std::string& line : lines_of(row.before))
            talk(line);
        CHECK(talk.send(row.octets).ends_with("554 5.5.0 Error: SMTP protocol synchronization\r\n"));
        CHECK(talk.ended());
        CHECK(house.logged(fmt::format("improper command pipelining after {} from client.test[192.0.2.1]: {}", row.after, row.evidence)));
        CHECK(house.queue.stored.empty());
    }
    SUBCASE("input before the greeting counts likewise")
    {
        House house;
        Talk talk(house, "192.0.2.1", nullptr, "EHLO early\r\n");
        CHECK(talk.greeting == "554 5.5.0 Error: SMTP protocol synchronization\r\n");
        CHECK(talk.ended());
        CHECK(house.logged("improper command pipelining after CONNECT from client.test[192.0.2.1]: EHLO early\\r\\n"));
    }
    SUBCASE("with smtpd_forbid_unauth_pipelining = no it is logged once, and everything is answered")
    {
        House house(options_of({{"smtpd_forbid_unauth_pipelining", "no"}}));
        Talk talk(house);
        CHECK(talk.send("HELO x\r\nNOOP\r\nNOOP\r\n") == "250 mx.example.test\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n");
        CHECK(std::ranges::count_if(house.log(), [](const std::string& line) { return line.starts_with("improper"); }) == 1);
    }
}

TEST_CASE("smuggling: only CRLF.CRLF ends content, and bare line feeds go by the policy")
{
    // What smugglers try between two messages.
    constexpr std::string_view ends[] = {"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\r\n.\r\r\n", "\n.\r\r\n"};
    constexpr std::string_view smuggled = "MAIL FROM:<evil@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\nevil\r\n.\r\n";
    for (const std::string_view end : ends) {
        CAPTURE(end);
        House house;
        Talk talk(house);
        talk("EHLO client.test");
        talk.send(group);
        const std::string reply = talk.send("a: b\r\n\r\nx" + std::string(end) + std::string(smuggled));
        CHECK(reply == "250 2.0.0 Ok: queued as Q1\r\n");
        REQUIRE(house.queue.stored.size() == 1);
        CHECK(house.queue.stored[0].second.inline_octets().find("MAIL FROM:<evil@b.test>\r\n") != std::string::npos);
    }
    SUBCASE("reject: content with a bare LF is refused whole")
    {
        House house(options_of({{"smtpd_forbid_bare_newline", "reject"}, {"smtpd_forbid_bare_newline_reject_code", "555"}}));
        Talk talk(house);
        talk("EHLO client.test");
        talk.send(group);
        CHECK(talk.send("a: b\n\r\nx\r\n.\r\n") == "555 5.5.2 mx.example.test Error: bare <LF> received\r\n");
        CHECK(house.queue.asked == 0);
        CHECK(talk.send("NOOP\n") == "555 5.5.2 mx.example.test Error: bare <LF> received\r\n");
        CHECK(talk.ended());
    }
    SUBCASE("reject: chunks too")
    {
        House house(options_of({{"smtpd_forbid_bare_newline", "reject"}}));
        Talk talk(house);
        talk("EHLO client.test");
        talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\n");
        CHECK(talk.send("BDAT 4 LAST\r\na\nb\n") == "550 5.5.2 mx.example.test Error: bare <LF> received\r\n");
        CHECK(house.queue.asked == 0);
    }
    SUBCASE("no, and clients that are excluded: LF.LF ends content")
    {
        for (const bool excluded : {false, true}) {
            House house(excluded ? options_of() : options_of({{"smtpd_forbid_bare_newline", "no"}}));
            Talk talk(house, excluded ? "192.0.2.100" : "192.0.2.1");
            talk("EHLO client.test");
            talk.send("MAIL FROM:<>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n");
            CHECK(talk.send("a: b\n\nx\n.\n") == "250 2.0.0 Ok: queued as Q1\r\n");
        }
    }
    SUBCASE("note: as normalize, and the disconnect line says so")
    {
        House house(options_of({{"smtpd_forbid_bare_newline", "note"}}));
        Talk talk(house);
        CHECK(talk.send("NOOP\n") == "250 2.0.0 Ok\r\n");
        talk("QUIT");
        CHECK(house.logged("disconnect from client.test[192.0.2.1] noop=1 quit=1 commands=2 notes=bare_lf"));
    }
}

TEST_CASE("drain: a running transaction ends well, the next MAIL is sent away")
{
    House house;
    Talk talk(house);
    talk("EHLO x");
    talk.send(group);
    house.smtpd().drain();
    CHECK(talk.send("a: b\r\n\r\n.\r\n") == "250 2.0.0 Ok: queued as Q1\r\n");
    CHECK(talk("MAIL FROM:<>") == "421 4.3.2 mx.example.test Service is shutting down\r\n");
    CHECK(talk.ended());
}

TEST_CASE("close: who waits without a transaction is told so at once, who has one at its end; what was sent ahead is still answered")
{
    House house;
    Talk idle(house), busy(house), ahead(house);
    idle("EHLO x");
    busy("EHLO x");
    ahead("EHLO x");
    busy.send(group);
    ahead.send(group);
    house.smtpd().close();
    house.settle();
    CHECK(idle.receive() == "421 4.3.2 mx.example.test Service is shutting down\r\n");
    CHECK(idle.ended());
    CHECK(busy.send("a: b\r\n\r\n.\r\n") == "250 2.0.0 Ok: queued as Q1\r\n421 4.3.2 mx.example.test Service is shutting down\r\n");
    CHECK(busy.ended());
    CHECK(ahead.send("a: b\r\n\r\n.\r\nQUIT\r\n") == "250 2.0.0 Ok: queued as Q2\r\n221 2.0.0 Bye\r\n");
    CHECK(ahead.ended());
    CHECK(house.queue.stored.size() == 2);
    CHECK(house.smtpd().counters().sessions == 0);
}
