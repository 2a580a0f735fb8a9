// The dialogue with a client that failed, or whose manners are to be seen first.
#include "receive/screen/screen_test.hpp"
#include "receive/screen/words.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;
using namespace posthorn::receive::testing::screening;
using namespace std::chrono_literals;

TEST_CASE("screen: what is said to a client that failed")
{
    House house(screened({{"postscreen_access_list", "reject"},
                          {"postscreen_denylist_action", "enforce"},
                          {"postscreen_greet_banner", ""},
                          {"postscreen_command_count_limit", "14"},
                          {"smtpd_forbidden_commands", "CONNECT"}}));
    const auto answers = [&](std::vector<std::string_view> commands) {
        Talk talk(house);
        CHECK(talk.greeting == greeting);
        std::string last;
        for (const std::string_view command : commands)
            last = talk(command);
        return last + (talk.ended() ? "gone" : "");
    };
    for (const auto& [command, reply] : {std::pair{"HELO", "501 Syntax: HELO hostname\r\n"},
                                         {"EHLO", "501 Syntax: EHLO hostname\r\n"},
                                         {"HELO x", "250 mx.example.test\r\n"},
                                         {"NOOP", "250 2.0.0 Ok\r\n"},
                                         {"RSET", "250 2.0.0 Ok\r\n"},
                                         {"VRFY", "501 5.5.4 Syntax: VRFY address\r\n"},
                                         {"VRFY x", "550 5.3.2 Service currently unavailable\r\n"},
                                         {"ETRN", "500 Syntax: ETRN domain\r\n"},
                                         {"ETRN x", "458 Unable to queue messages\r\n"},
                                         {"AUTH PLAIN x", "502 5.5.2 Error: command not recognized\r\n"},
                                         {"XCLIENT A=B", "502 5.5.2 Error: command not recognized\r\n"},
                                         {"HELP", "502 5.5.2 Error: command not recognized\r\n"},
                                         {"", "502 5.5.2 Error: command not recognized\r\n"},
                                         {"STARTTLS", "502 5.5.1 Error: command not implemented\r\n"},
                                         {"RCPT TO:<a@b.test>", "503 5.5.1 Error: need MAIL command\r\n"},
                                         {"MAIL FROM a", "501 5.5.4 Syntax: MAIL FROM:<address>\r\n"},
                                         {"MAIL FROM:<>", "250 2.1.0 Ok\r\n"},
                                         {"DATA", "503 5.5.1 Error: need RCPT command\r\ngone"},
                                         {"DATA now", "501 5.5.4 Syntax: DATA\r\ngone"},
                                         {"BDAT", "501 5.5.4 Syntax: BDAT count [LAST]\r\ngone"},
                                         {"BDAT 3 LAST", "554 5.5.1 Error: need MAIL command\r\ngone"},
                                         {"CONNECT a", "521 5.7.0 Error: I can break rules, too. Goodbye.\r\ngone"},
                                         {"Subject: a", "521 5.7.0 Error: I can break rules, too. Goodbye.\r\ngone"},
                                         {"QUIT now", "221 2.0.0 Bye\r\ngone"}}) {
        CAPTURE(command);
        CHECK(answers({command}) == reply);
    }
    CHECK(answers({"MAIL FROM:<>", "MAIL FROM:<>"}) == "503 5.5.1 Error: nested MAIL command\r\n");
    CHECK(answers({"MAIL FROM:<\"a b>\"@c.test> SIZE=1", "RCPT TO: \"c d\"@e.test NOTIFY=NEVER"}) == "550 5.3.2 Service currently unavailable\r\n");
    CHECK(has(house.whole_log(), "from=<\"a b>\"@c.test>, to=<\"c d\"@e.test>, proto=SMTP, helo=<>"));
    CHECK(answers(std::vector<std::string_view>(15, "NOOP")) == "421 mx.example.test Service unavailable - try again later\r\ngone");
    CHECK(house.logged("COMMAND COUNT LIMIT from [192.0.2.1]:40000 after NOOP"));
    CHECK(answers({"NOOP", std::string(3000, 'x')}) == "421 mx.example.test Service unavailable - try again later\r\ngone");
    CHECK(house.logged("COMMAND LENGTH LIMIT from [192.0.2.1]:40000 after NOOP"));
    {
        Talk talk(house);
        talk.expire();
        CHECK(talk.receive() == "421 4.4.2 mx.example.test Error: timeout exceeded\r\n");
        CHECK(house.logged("COMMAND TIME LIMIT from [192.0.2.1]:40000 after CONNECT"));
    }
    {
        house.sink->lines.clear();
        Talk talk(house);
        talk.send("NOOP\n");
        CHECK(house.logged("BARE NEWLINE from [192.0.2.1]:40000 after NOOP"));
        CHECK(talk.send("MAIL FROM:<>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n") ==
              "250 2.1.0 Ok\r\n550 5.5.1 Protocol error\r\n554 5.5.1 Error: no valid recipients\r\n");
        CHECK(house.logged("COMMAND PIPELINING from [192.0.2.1]:40000 after MAIL: RCPT TO:<c@d.test>\\r\\nDATA\\r\\n"));
    }
}

TEST_CASE("screen: footers, keywords and the filter of commands, for a client that failed")
{
    const auto house_of = [](Settings more) {
        more.insert(more.begin(), {{"postscreen_access_list", "reject"}, {"postscreen_denylist_action", "enforce"}, {"postscreen_greet_banner", ""}});
        return std::make_unique<House>(screened(std::move(more)));
    };
    const auto stock = house_of({{"smtpd_reject_footer", "\\c. Tell $client_address, port $client_port"},
                                 {"smtpd_discard_ehlo_keyword_address_maps", "inline:{192.0.2.1=size}"}});
    {
        Talk talk(*stock);
        const std::string told = talk("EHLO x");
        CHECK(!has(told, "SIZE"));
        CHECK(has(told, "VRFY"));
        CHECK(talk("NOOP") == "250 2.0.0 Ok\r\n");
        CHECK(talk("MAIL FROM:<>") == "250 2.1.0 Ok\r\n");
        CHECK(talk("RCPT TO:<a@b.test>") == "550 5.3.2 Service currently unavailable. Tell 192.0.2.1, port 40000\r\n");
        CHECK(has(stock->whole_log(), "RCPT from [192.0.2.1]:40000: 550 5.3.2 Service currently unavailable; from=<>"));
    }
    const auto own = house_of({{"smtpd_reject_footer", "not this"},
                               {"postscreen_reject_footer", "help"},
                               {"postscreen_reject_footer_maps", "regexp:{{/^502/ what}, {/^501/ $$$$nothing}}"},
                               {"postscreen_discard_ehlo_keyword_address_maps", "inline:{192.0.2.9=size}"},
                               {"postscreen_command_filter", "regexp:{{/^HELLO (.*)/ HELO $$1}}"}});
    Talk talk(*own);
    CHECK(talk("HELLO there") == "250 mx.example.test\r\n");
    CHECK(own->logged("[192.0.2.1]:40000: replacing command \"HELLO there\" with \"HELO there\""));
    CHECK(has(talk("EHLO x"), "SIZE"));
    CHECK(talk("AUTH x") == "502-5.5.2 Error: command not recognized\r\n502 5.5.2 what\r\n");
    CHECK(talk("VRFY x") == "550-5.3.2 Service currently unavailable\r\n550 5.3.2 help\r\n");
    CHECK(talk("HELO") == "501 Syntax: HELO hostname\r\n");           // its footer names what is not known: none
    CHECK(has(own->whole_log(), "postscreen_reject_footer_maps: unknown macro name \"nothing\""));
    const auto dropped = house_of({{"postscreen_denylist_action", "drop"}, {"postscreen_reject_footer", "help"}});
    Talk gone(*dropped);
    CHECK(gone.greeting == "521-5.3.2 Service currently unavailable\r\n521 5.3.2 help\r\n");
}

TEST_CASE("screen: tests of commands put a new client off, and it comes again")
{
    const auto deep = [](Settings more = {}) {
        for (const char* test : {"pipelining", "non_smtp_command", "bare_newline"})
            more.emplace_back(fmt::format("postscreen_{}_enable", test), "yes");
        return screened(std::move(more));
    };
    const std::string later = "450 4.3.2 Service currently unavailable\r\n";
    SUBCASE("what it said before was good, up to a recipient")
    {
        House house(deep());
        {
            Talk talk(house);
            talk.expire();
            CHECK(talk.receive() == greeting);
            talk("EHLO x");
            talk("QUIT");
        }
        CHECK(lines(house) == came("DISCONNECT [192.0.2.1]:40000\n"));
        house.sink->lines.clear();
        {
            Talk talk(house);
            CHECK(talk.greeting == greeting);     // it has waited
            talk("EHLO x");
            talk("MAIL FROM:<a@b.test>");
            CHECK(talk("RCPT TO:<c@d.test>") == later);
            CHECK(talk("DATA") == "554 5.5.1 Error: no valid recipients\r\n");
        }
        CHECK(lines(house).ends_with("DATA without valid RCPT from [192.0.2.1]:40000\nPASS NEW [192.0.2.1]:40000\nDISCONNECT [192.0.2.1]:40000\n"));
        Talk talk(house);
        CHECK(has(talk("EHLO x"), "250-PIPELINING"));
        CHECK(house.logged("PASS OLD [192.0.2.1]:40000"));
    }
    SUBCASE("enforced, it is tested anew, all of it")
    {
        House house(deep());
        {
            Talk talk(house);
            talk.expire();
            talk("EHLO x");
            CHECK(talk.send("MAIL FROM:<>\r\nRCPT TO:<c@d.test>\r\n") == "250 2.1.0 Ok\r\n550 5.5.1 Protocol error\r\n");
        }
        CHECK_FALSE(has(lines(house), "PASS"));
        CHECK(Talk(house).greeting == teaser);
    }
    SUBCASE("ignored, it passes all the same")
    {
        House house(deep({{"postscreen_pipelining_action", "ignore"}}));
        Talk talk(house);
        talk.expire();
        talk("EHLO x");
        CHECK(talk.send("MAIL FROM:<>\r\nRCPT TO:<c@d.test>\r\n") == "250 2.1.0 Ok\r\n" + later);
        talk.hang_up();
        CHECK(lines(house).ends_with("PASS NEW [192.0.2.1]:40000\nDISCONNECT [192.0.2.1]:40000\n"));
    }
    SUBCASE("dropped")
    {
        House house(deep({{"postscreen_bare_newline_action", "drop"}}));
        Talk talk(house);
        talk.expire();
        talk.receive();
        CHECK(talk.send("EHLO x\n") == "521 5.5.1 Protocol error\r\n");
        CHECK(talk.ended());
        CHECK(house.logged("BARE NEWLINE from [192.0.2.1]:40000 after EHLO x"));
    }
    SUBCASE("who stands well enough in the lists need not")
    {
        House house(deep({{"postscreen_dnsbl_sites", "good.test*-1"}, {"postscreen_dnsbl_allowlist_threshold", "-1"}}));
        house.names.zone[{"1.2.0.192.good.test", dns::Type::a}] = answered({"127.0.0.2"});
        Talk talk(house);
        house.loop.run_for(5ms);
        CHECK(has(talk("EHLO x"), "250-PIPELINING"));
        CHECK(house.logged("PASS NEW [192.0.2.1]:40000"));
    }
}

TEST_CASE("screen: what a client said, as C writes it")
{
    CHECK(screen::in_c_form(std::string_view("\x01\x80\\a\t\"\r\n\0", 9)) == "\\001\\200\\\\a\\t\"\\r\\n\\000");
    CHECK(screen::in_c_form(std::string(200, 'x')).size() == 100);
}
