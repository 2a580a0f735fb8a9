// What an administrator sets for clients that cannot do better.
#include "receive/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

TEST_CASE("smtpd_command_filter: the manual's examples: what a table makes of a line is obeyed")
{
    House house(options_of({{"smtpd_command_filter", "pcre:{{/^HELO\\s*$$/ HELO domain.invalid}, {/^\\s*$$/ NOOP}, "
                                                     "{/^(RCPT\\s+TO:\\s*<)'([^[:space:]]+)'(>.*)/ $$1$$2$$3}}"}}));
    Talk talk(house);
    CHECK(talk("HELO") == "250 mx.example.test\r\n");
    CHECK(talk("") == "250 2.0.0 Ok\r\n");
    CHECK(talk("MAIL FROM:<a@client.test>") == "250 2.1.0 Ok\r\n");
    CHECK(talk("  RCPT TO:<'user@example.test'>") == "250 2.1.5 Ok\r\n");
    CHECK(talk("RCPT TO:<other@example.test>") == "250 2.1.5 Ok\r\n");
    CHECK(house.logged("client.test[192.0.2.1]: replacing command \"HELO\" with \"HELO domain.invalid\""));
    CHECK(house.logged("client.test[192.0.2.1]: replacing command \"  RCPT TO:<'user@example.test'>\" with \"RCPT TO:<user@example.test>\""));
}

TEST_CASE("smtpd_command_filter: a password is in no log line")
{
    House house(options_of({{"smtpd_command_filter", "regexp:{{/^AUTH/ AUTH PLAIN c2VjcmV0}}"}}));
    Talk talk(house);
    talk("EHLO client.test");
    talk("AUTH PLAIN AGEAcGFzc3dvcmQ=");
    CHECK(house.whole_log().find("replacing command") != std::string::npos);
    CHECK(house.whole_log().find("AGEAcGFzc3dvcmQ") == std::string::npos);
    CHECK(house.whole_log().find("c2VjcmV0") == std::string::npos);
}

TEST_CASE("smtpd_command_filter: a table that cannot be asked is no answer: the session ends, as Postfix's does")
{
    House house(options_of({{"smtpd_command_filter", "fail:x"}}));
    const std::string reply = "421 4.3.0 mx.example.test Server local data error";
    // What would be content is none of the client's commands: a message in transit could hold anything.
    for (const std::string_view said :
         {"EHLO client.test\r\nNOOP\r\n", "BDAT 28 LAST\r\nRSET\r\nMAIL FROM:<a@b.test>\r\n", "AUTH PLAIN AGEAc2VjcmV0\r\n"}) {
        Talk talk(house);
        CHECK(talk.send(std::string(said)) == reply + "\r\n");
        CHECK(talk.ended());
    }
    CHECK(house.logged("warning: fail:x is unavailable. Application error"));
    CHECK(house.logged("warning: fail:x lookup error for \"EHLO client.test\""));
    CHECK(house.logged("NOQUEUE: reject: CONNECT from client.test[192.0.2.1]: " + reply));
    CHECK(house.whole_log().find("AGEAc2VjcmV0") == std::string::npos);
}

TEST_CASE("smtpd_reject_footer: behind every refusal, and behind nothing else")
{
    House house(options_of({{"smtpd_reject_footer", "\\c. For help, tell us $client_address at $server_name"}}));
    Talk talk(house);
    talk("EHLO client.test");
    CHECK(talk("NONSENSE") == "500 5.5.2 Error: command not recognized. For help, tell us 192.0.2.1 at mx.example.test\r\n");
    // A group: each refusal has its own, in the order of the commands.
    CHECK(talk.send("MAIL FROM:<a@client.test>\r\nRCPT TO:<nobody@example.test>\r\nRSET\r\n") ==
          "250 2.1.0 Ok\r\n"
          "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in local recipient table. "
          "For help, tell us 192.0.2.1 at mx.example.test\r\n250 2.0.0 Ok\r\n");
    CHECK(house.whole_log().find("For help") == std::string::npos);              // not in the log: the line there is found by it
}

TEST_CASE("smtpd_reject_footer_maps and smtpd_reject_filter_maps: asked with the whole reply")
{
    House house(
        options_of({{"smtpd_reject_footer", "general"},
                    {"smtpd_reject_footer_maps", "regexp:{{/unknown in local/ about recipients}, {/HELO hostname/ ask $$$$sender}}"},
                    {"smtpd_reject_filter_maps", "regexp:{{/^503 5.5.1 Error: need MAIL/ 450 4.5.1 first things first}, {/^502/ 250 fine}}"}}));
    Talk talk(house);
    CHECK(talk("NONSENSE") == "500-5.5.2 Error: command not recognized\r\n500 5.5.2 general\r\n");
    CHECK(talk("EXPN x").starts_with("50"));                                     // not "250 fine"
    CHECK(talk("RCPT TO:<user@example.test>") == "450-4.5.1 first things first\r\n450 4.5.1 general\r\n");
    CHECK(talk("HELO") == "501 Syntax: HELO hostname\r\n");                      // its footer names what is not known: none
    CHECK(house.whole_log().find("smtpd_reject_footer_maps: unknown macro name \"sender\"") != std::string::npos);
    CHECK(talk("HELO client.test") == "250 mx.example.test\r\n");
    CHECK(talk("MAIL FROM:<a@client.test>") == "250 2.1.0 Ok\r\n");
    CHECK(talk("RCPT TO:<nobody@example.test>").ends_with("\r\n550 5.1.1 about recipients\r\n"));
}

TEST_CASE("a reply that is too long for one line is several, with what tables add too")
{
    const std::string why(400, 'w');
    House house(options_of({{"smtpd_reject_footer", "\\c. " + why},
                            {"smtpd_recipient_restrictions", "check_recipient_access inline:{{far@example.test=550 " + why + "}}"}}));
    Talk talk(house);
    talk("EHLO client.test");
    CHECK(talk("NONSENSE") == "500 5.5.2 Error: command not recognized. " + why + "\r\n");
    talk("MAIL FROM:<a@client.test>");
    CHECK(talk("RCPT TO:<far@example.test>") ==
          "550-5.7.1 <far@example.test>: Recipient address rejected: " + why + ".\r\n550 5.7.1 " + why + "\r\n");
}

TEST_CASE("odd lines: each has the answer that Debian's Postfix 3.7.11 gave when it was asked")
{
    struct Row {
        std::string line, reply;
    };
    const std::string ok = "250 2.1.0 Ok\r\n", sender = "501 5.1.7 Bad sender address syntax\r\n";
    for (const Row& row :
         {Row{"MAIL FROM:<a@b@c.test>", ok},
          Row{"MAIL FROM:<a\x01"
              "b@c.test>",
              ok},
          Row{"MAIL FROM:<a\x07@c.test>", ok},
          Row{"MAIL FROM:<\"a\x01"
              "b\"@c.test>",
              ok},
          Row{"MAIL FROM:<a@c\x01.test>", sender}, Row{"MAIL FROM:<\xc3\xa4@c.test>", ok}, Row{"MAIL FROM:<a@\xc3\xa4.test>", sender},
          Row{"MAIL FROM:<\xc3\xa4@c.test> SMTPUTF8", ok}, Row{"MAIL FROM:<a@\xc3\xa4.test> SMTPUTF8", ok},
          Row{"MAIL FROM:<\xe4@c.test>", "500 5.5.2 Error: bad UTF-8 syntax\r\n"},
          Row{"MAIL FROM:<a@\xe4.test>", "500 5.5.2 Error: bad UTF-8 syntax\r\n"}, Row{"MAIL FROM:<a@b.test", sender}, Row{"MAIL FROM:a@b.test>", ok},
          Row{"MAIL FROM:<a@b.test>>", ok}, Row{"MAIL FROM:<<a@b.test>>", ok}, Row{"MAIL FROM:<a b@c.test>", sender}, Row{"MAIL FROM: a@b.test", ok},
          Row{"MAIL FROM:<a@b.test> foo", "555 5.5.4 Unsupported option: foo\r\n"}, Row{"EHLO \xe4.test", "500 5.5.2 Error: bad UTF-8 syntax\r\n"}}) {
        House house;
        Talk talk(house);
        talk("EHLO client.test");
        CHECK_MESSAGE(talk(row.line) == row.reply, row.line);
    }
    for (const std::string& name : {std::string(300, 'a'), std::string(1000, 'a'), std::string("\x01\x02"), std::string("\xc3\xa4.test"),
                                    std::string("a b"), std::string("[1.2.3]"), std::string("a@b")}) {
        House house;
        Talk talk(house);
        CHECK_MESSAGE(talk("HELO " + name) == "250 mx.example.test\r\n", name);
    }
    for (const Row& row : {Row{"RCPT TO:<user\tx@example.test>", "501 5.1.3 Bad recipient address syntax\r\n"},
                           Row{"RCPT TO:<user@\xc3\xa4.test>", "501 5.1.3 Bad recipient address syntax\r\n"}}) {
        House house;
        Talk talk(house);
        talk("EHLO client.test");
        talk("MAIL FROM:<a@client.test>");
        CHECK_MESSAGE(talk(row.line) == row.reply, row.line);
    }
}
