// The tests before the greeting, from the connection to the last line of the log.
#include "observe/testing.hpp"
#include "receive/screen/rank.hpp"
#include "receive/screen/screen_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;
using namespace posthorn::receive::testing::screening;
using namespace std::chrono_literals;

TEST_CASE("screen: without it nothing is different")
{
    House house;
    Talk talk(house);
    CHECK(talk.greeting == greeting);
    CHECK(lines(house).empty());
}

TEST_CASE("screen: who waits for the greeting gets it on the same connection, and at once the next time")
{
    House house(screened());
    {
        Talk talk(house);
        CHECK(talk.greeting == teaser);
        talk.expire();
        CHECK(talk.receive() == greeting);
        CHECK(talk("NOOP") == "250 2.0.0 Ok\r\n");
        CHECK(lines(house) == came("PASS NEW [192.0.2.1]:40000\n"));
    }
    house.sink->lines.clear();
    {
        Talk again(house);
        CHECK(again.greeting == greeting);
        CHECK(lines(house) == came("PASS OLD [192.0.2.1]:40000\n"));
    }
    SUBCASE("after postscreen_greet_ttl it is tested anew, as an old one; after the retention time it is a new one")
    {
        house.clock.advance(24h);
        for (const auto& [later, standing] : {std::pair{0h, "OLD"}, {24h * 8, "NEW"}}) {
            house.clock.advance(later);
            house.sink->lines.clear();
            Talk anew(house);
            CHECK(anew.greeting == teaser);
            anew.expire();
            CHECK(lines(house) == came(fmt::format("PASS {} [192.0.2.1]:40000\n", standing)));
        }
    }
}

TEST_CASE("screen: who passed at another process, or before a restart, is let in at once")
{
    FakeRemembered others;
    House house(screened());
    house.remembered = &others;
    const WallTime now = house.clock.wall();
    SUBCASE("it is asked about once, and is an old one")
    {
        others.known["192.0.2.1"] = {.greet = now + 1h, .lists = {}, .deep = {}};
        for (int time = 0; time < 2; ++time)
            CHECK(Talk(house).greeting == greeting);
        CHECK(lines(house) == came("PASS OLD [192.0.2.1]:40000\n") + came("PASS OLD [192.0.2.1]:40000\n"));
        CHECK(others.asked == std::vector<std::string>{"192.0.2.1"});
        CHECK(others.told.empty());
    }
    SUBCASE("one of whom nothing is known is tested, and told of when it has passed")
    {
        Talk talk(house);
        CHECK(talk.greeting == teaser);
        CHECK(others.told.empty());
        talk.expire();
        REQUIRE(others.told.contains("192.0.2.1"));
        CHECK(others.told["192.0.2.1"] == Passed{.greet = now + 24h, .lists = {}, .deep = {}});
    }
    SUBCASE("what was passed long ago does not count, but it is an old one")
    {
        others.known["192.0.2.1"] = {.greet = now - 1h, .lists = {}, .deep = {}};
        Talk talk(house);
        CHECK(talk.greeting == teaser);
        talk.expire();
        CHECK(lines(house) == came("PASS OLD [192.0.2.1]:40000\n"));
    }
    SUBCASE("our networks are not asked about")
    {
        CHECK(Talk(house, "192.0.2.100").greeting == greeting);
        CHECK(others.asked.empty());
    }
}

TEST_CASE("screen: who failed is told of to nobody; of a test that is new, what another process saw counts beside what was seen here")
{
    FakeRemembered others;
    House house(screened({{"postscreen_greet_action", "enforce"}, {"postscreen_dnsbl_sites", "bad.test"}, {"postscreen_dnsbl_max_ttl", "1h"}}));
    house.remembered = &others;
    CHECK(Talk(house, "192.0.2.1", nullptr, "EHLO x\r\n").greeting.starts_with(std::string(teaser) + "250-"));
    CHECK(others.told.empty());
    const WallTime now = house.clock.wall();
    others.known["192.0.2.1"] = {.greet = now + 20h, .lists = {}, .deep = {}};
    CHECK(Talk(house).greeting == greeting);                             // the lists alone
    REQUIRE(others.told.contains("192.0.2.1"));
    CHECK(others.told["192.0.2.1"].greet == now + 20h);
    CHECK(others.told["192.0.2.1"].lists > now);
}

TEST_CASE("screen: the permanent list")
{
    const auto with = [](std::string list, Settings more = {}) {
        more.emplace_back("postscreen_access_list", std::move(list));
        return screened(std::move(more));
    };
    SUBCASE("our networks are let in at once")
    {
        House house(screened());
        Talk talk(house, "192.0.2.100");
        CHECK(talk.greeting == greeting);
        CHECK(house.logged("ALLOWLISTED [192.0.2.100]:40000"));
    }
    SUBCASE("the first word that says something counts, also in a table")
    {
        for (const auto& [list, line] : {std::pair{"cidr:{{192.0.2.1 permit}}", "ALLOWLISTED"},
                                         {"cidr:{{192.0.2.0/24 dunno}}, permit", "ALLOWLISTED"},
                                         {"cidr:{{192.0.2.0/24 REJECT}}, permit", "DENYLISTED"},
                                         {"cidr:{{192.0.2.9 permit}} reject", "DENYLISTED"},
                                         {"permit_mynetworks, dunno, reject", "DENYLISTED"}}) {
            CAPTURE(list);
            House house(with(list));
            const Talk talk(house);
            CHECK(house.logged(fmt::format("{} [192.0.2.1]:40000", line)));
        }
    }
    SUBCASE("a table that fails, or says what is no word: the rest of the list does not count")
    {
        for (const auto& [table, trouble] :
             {std::pair{"cidr:{{192.0.2.1 maybe}}", "unknown command: maybe"}, {"texthash:/nonexistent/x", "table lookup error"}}) {
            CAPTURE(table);
            House house(with(fmt::format("{}, permit", table)));
            const Talk talk(house);
            CHECK(talk.greeting == teaser);
            CHECK(house.logged(fmt::format("warning: {}: {} -- ignoring the remainder of this access list", table, trouble)));
        }
    }
    SUBCASE("ignored, it is tested as others are")
    {
        House house(with("reject"));
        Talk talk(house);
        talk.expire();
        CHECK(talk.receive() == greeting);
        CHECK(lines(house) == came("DENYLISTED [192.0.2.1]:40000\nPASS NEW [192.0.2.1]:40000\n"));
    }
    SUBCASE("dropped")
    {
        House house(with("reject", {{"postscreen_blacklist_action", "drop"}, {"respectful_logging", "no"}}));
        Talk talk(house);
        CHECK(talk.greeting == "521 5.3.2 Service currently unavailable\r\n");
        CHECK(talk.ended());
        CHECK(lines(house) == came("BLACKLISTED [192.0.2.1]:40000\nDISCONNECT [192.0.2.1]:40000\n"));
    }
    SUBCASE("enforced, no recipient is taken, and it is not remembered")
    {
        House house(with("reject", {{"postscreen_denylist_action", "enforce"}}));
        Talk talk(house);
        CHECK(talk.greeting == teaser);
        talk.expire();
        CHECK(talk.receive() == greeting);
        CHECK(talk("EHLO x").starts_with("250-mx.example.test\r\n250-SIZE "));
        CHECK(talk("MAIL FROM:<a@b.test> SIZE=1") == "250 2.1.0 Ok\r\n");
        CHECK(talk("RCPT TO:<user@example.test>") == "550 5.3.2 Service currently unavailable\r\n");
        CHECK(talk("QUIT") == "221 2.0.0 Bye\r\n");
        CHECK(talk.ended());
        CHECK(lines(house) == came("DENYLISTED [192.0.2.1]:40000\n"
                                   "NOQUEUE: reject: RCPT from [192.0.2.1]:40000: 550 5.3.2 Service currently unavailable; from=<a@b.test>, "
                                   "to=<user@example.test>, proto=ESMTP, helo=<x>\n"
                                   "DISCONNECT [192.0.2.1]:40000\n"));
        CHECK_FALSE(house.logged("connect from client.test[192.0.2.1]"));
        Talk again(house);
        CHECK(again.greeting == teaser);
    }
}

TEST_CASE("screen: who speaks before the greeting")
{
    const std::string said = "PREGREET 8 from [192.0.2.1]:40000: EHLO x\\r\\n\n";
    SUBCASE("ignored: nothing that it said is lost, and it is tested again")
    {
        House house(screened());
        {
            Talk talk(house, "192.0.2.1", nullptr, "EHLO x\r\n");
            CHECK(talk.greeting.starts_with(std::string(teaser) + std::string(greeting) + "250-mx.example.test\r\n"));
            CHECK(lines(house) == came(said));
            CHECK_FALSE(has(house.whole_log(), "improper command pipelining"));
        }
        Talk again(house);
        CHECK(again.greeting == teaser);
    }
    SUBCASE("enforced: it is answered without a greeting, and refused")
    {
        House house(screened({{"postscreen_greet_action", "enforce"}}));
        Talk talk(house, "192.0.2.1", nullptr, "EHLO x\r\n");
        CHECK(talk.greeting.starts_with(std::string(teaser) + "250-mx.example.test\r\n"));
        CHECK_FALSE(has(talk.greeting, "PIPELINING"));
        talk("MAIL FROM:<>");
        CHECK(talk("RCPT TO:<user@example.test>") == "550 5.5.1 Protocol error\r\n");
        CHECK(talk("DATA") == "554 5.5.1 Error: no valid recipients\r\n");
        CHECK(talk.ended());
        CHECK(lines(house) == came(said + "NOQUEUE: reject: RCPT from [192.0.2.1]:40000: 550 5.5.1 Protocol error; from=<>, to=<user@example.test>, "
                                          "proto=ESMTP, helo=<x>\nDATA without valid RCPT from [192.0.2.1]:40000\nDISCONNECT [192.0.2.1]:40000\n"));
    }
    SUBCASE("dropped")
    {
        House house(screened({{"postscreen_greet_action", "drop"}}));
        Talk talk(house, "192.0.2.1", nullptr, "EHLO x\r\n");
        CHECK(talk.greeting == std::string(teaser) + "521 5.5.1 Protocol error\r\n");
        CHECK(talk.ended());
        CHECK(lines(house) == came(said + "DISCONNECT [192.0.2.1]:40000\n"));
    }
    SUBCASE("gone before the greeting")
    {
        House house(screened());
        Talk talk(house);
        talk.hang_up();
        CHECK(talk.ended());
        CHECK(lines(house) == came("HANGUP from [192.0.2.1]:40000 in tests before SMTP handshake\nDISCONNECT [192.0.2.1]:40000\n"));
        CHECK_FALSE(has(house.whole_log(), "connect from client.test"));
    }
    SUBCASE("without a first line nobody waits")
    {
        House house(screened({{"postscreen_greet_banner", ""}}));
        Talk talk(house, "192.0.2.1", nullptr, "EHLO x\r\n");
        CHECK(talk.greeting.starts_with(greeting));
        CHECK(lines(house) == come);
    }
    SUBCASE("postscreen_greet_wait, and less of it under stress")
    {
        House house(screened({{"postscreen_greet_wait", "${stress?{2}:{7}}s"}, {"postscreen_pre_queue_limit", "10"}}));
        std::vector<std::unique_ptr<Talk>> talks;
        for (int count = 0; count < 9; ++count)
            talks.push_back(std::make_unique<Talk>(house, fmt::format("198.51.100.{}", count)));
        CHECK(talks.front()->deadline() - std::chrono::steady_clock::now() > 5s);
        CHECK(talks.back()->deadline() - std::chrono::steady_clock::now() < 3s);
        CHECK(house.logged("entering STRESS mode with 9 connections"));
        talks.push_back(std::make_unique<Talk>(house, "198.51.100.10"));
        talks.push_back(std::make_unique<Talk>(house, "198.51.100.11"));
        CHECK(talks.back()->greeting == "421 4.3.2 All screening ports are busy\r\n");
        CHECK(house.logged("reject: connect from [198.51.100.11]:40000: all screening ports busy"));
        talks.clear();
        const Talk calm(house);
        CHECK(house.logged("leaving STRESS mode with 1 connections"));
    }
    SUBCASE("many of one address")
    {
        House house(screened({{"postscreen_client_connection_count_limit", "1"}}));
        {
            const Talk first(house), second(house);
            CHECK(second.greeting == "421 4.7.0 Error: too many connections\r\n");
            CHECK(house.logged("NOQUEUE: reject: CONNECT from [192.0.2.1]:40000: too many connections"));
        }
        const Talk third(house);
        CHECK(third.greeting == teaser);
    }
}

TEST_CASE("screen: lists in the DNS")
{
    const auto house_with = [](Settings more) {
        more.emplace_back("postscreen_dnsbl_sites", "bad.test*2, worse.test=127.0.0.[2..5] worse.test=127.0.0.9*7 good.test*-4");
        more.emplace_back("postscreen_dnsbl_threshold", "3");
        auto house = std::make_unique<House>(screened(std::move(more)));
        auto& zone = house->names.zone;
        zone[{"1.2.0.192.bad.test", dns::Type::a}] = answered({"127.0.0.2"});
        zone[{"1.2.0.192.worse.test", dns::Type::a}] = answered({"127.0.0.4", "127.0.0.5"}, 90s);
        zone[{"7.2.0.192.bad.test", dns::Type::a}] = answered({"127.0.0.2"});
        zone[{"7.2.0.192.worse.test", dns::Type::a}] = answered({});
        zone[{"7.2.0.192.worse.test", dns::Type::a}].status = dns::Status::nxdomain;
        zone[{"7.2.0.192.good.test", dns::Type::a}] = answered({"127.0.9.2"});
        return house;
    };
    SUBCASE("ignored: it is let in, and asked about again; that it waited is remembered")
    {
        const auto house = house_with({});
        for (const std::string_view first : {teaser, greeting}) {
            house->sink->lines.clear();
            Talk talk(*house);
            CHECK(talk.greeting == first);
            talk.expire();
            CHECK(lines(*house) == came("DNSBL rank 3 for [192.0.2.1]:40000\n"));
        }
    }
    SUBCASE("enforced, with the domain that weighs most")
    {
        const auto house = house_with({{"postscreen_dnsbl_action", "enforce"}});
        Talk talk(*house);
        talk.expire();
        CHECK(talk.receive() == greeting);
        talk("HELO x");
        talk("MAIL FROM:<a@b.test>");
        CHECK(talk("RCPT TO:<c@d.test>") == "550 5.7.1 Service unavailable; client [192.0.2.1] blocked using bad.test\r\n");
    }
    SUBCASE("dropped, with what postscreen_dnsbl_reply_map says")
    {
        const auto house = house_with({{"postscreen_dnsbl_action", "drop"}, {"postscreen_dnsbl_reply_map", "inline:{bad.test=lists}"}});
        Talk talk(*house);
        talk.expire();
        CHECK(talk.receive() == "521 5.7.1 Service unavailable; client [192.0.2.1] blocked using lists\r\n");
        CHECK(lines(*house) == came("DNSBL rank 3 for [192.0.2.1]:40000\nDISCONNECT [192.0.2.1]:40000\n"));
    }
    SUBCASE("below the threshold it passes, for as long as the answers live within the limits")
    {
        const auto house = house_with({{"postscreen_dnsbl_min_ttl", "200s"}, {"postscreen_dnsbl_max_ttl", "300s"}});
        {
            Talk talk(*house, "192.0.2.7");
            talk.expire();
            CHECK(house->logged("PASS NEW [192.0.2.7]:40000"));
        }
        house->clock.advance(299s);
        CHECK(Talk(*house, "192.0.2.7").greeting == greeting);
        CHECK(house->logged("PASS OLD [192.0.2.7]:40000"));
        house->names.asked.clear();
        house->clock.advance(1s);
        CHECK(Talk(*house, "192.0.2.7").greeting == greeting);             // the lists alone: nobody waits for a client that has waited today
        CHECK(std::set(house->names.asked.begin(), house->names.asked.end()) ==
              std::set<std::string>{"7.2.0.192.bad.test", "7.2.0.192.worse.test", "7.2.0.192.good.test"});
    }
    SUBCASE("so good that it need not wait")
    {
        const auto house = house_with({{"postscreen_dnsbl_allowlist_threshold", "-2"}});
        const Talk talk(*house, "192.0.2.7");
        house->loop.run_for(5ms);
        house->settle();
        CHECK(house->logged("PASS NEW [192.0.2.7]:40000"));
    }
    SUBCASE("a list that fails says nothing")
    {
        const auto house = house_with({{"postscreen_dnsbl_action", "drop"}});
        house->names.zone[{"1.2.0.192.bad.test", dns::Type::a}] = dns::Answer{};
        const observe::AskedSince asked(observe::Helper::dns_list);
        Talk talk(*house);
        talk.expire();
        CHECK(talk.receive() == greeting);
        CHECK(has(house->whole_log(), "warning: dnsblog_query: lookup error for DNS query 1.2.0.192.bad.test: "));
        CHECK(asked.count().failed == 1);
    }
}

TEST_CASE("screen: what lists say counts as long as the shortest life of an answer, within the limits")
{
    const auto sites = screen::parse_sites("bad.test*2 worse.test");
    REQUIRE(sites);
    screen::Rank rank;
    CHECK(rank.life(60s, 3600s) == 3600s);
    rank.add(sites->front(), answered({"127.0.0.2"}, 600s));
    rank.add(sites->back(), answered({"127.0.0.2"}, 90s));
    CHECK(rank.sum() == 3);
    CHECK(rank.life(60s, 3600s) == 90s);
    CHECK(rank.life(100s, 3600s) == 100s);
    CHECK(rank.life(10s, 20s) == 20s);
    rank.add(sites->back(), dns::Answer{});       // temporary: no answer at all
    CHECK(rank.life(60s, 3600s) == 90s);
}

TEST_CASE("screen: where a client is not remembered, it is put off until it asks elsewhere")
{
    House house(screened({{"postscreen_allowlist_interfaces", "!192.0.2.2 static:all"}}));
    Talk talk(house);
    talk.expire();
    talk("HELO x");
    talk("MAIL FROM:<a@b.test>");
    CHECK(talk("RCPT TO:<c@d.test>") == "450 4.3.2 Service currently unavailable\r\n");
    CHECK(lines(house).starts_with(came("ALLOWLIST VETO [192.0.2.1]:40000\n")));
    CHECK_FALSE(has(house.whole_log(), "PASS"));
}

TEST_CASE("screen: the PROXY protocol says who the client is")
{
    House house(screened({{"postscreen_upstream_proxy_protocol", "haproxy"}}));
    Talk talk(house, "192.0.2.1", nullptr, "PROXY TCP4 203.0.113.9 203.0.113.1 4711 25\r\n");
    CHECK(talk.greeting == teaser);
    talk.expire();
    CHECK(talk.receive() == greeting);
    CHECK(lines(house) == "CONNECT from [203.0.113.9]:4711 to [203.0.113.1]:25\nPASS NEW [203.0.113.9]:4711\n");
    CHECK(house.logged("connect from unknown[203.0.113.9]"));
}

TEST_CASE("screen: a server that ends lets nobody wait")
{
    House house(screened());
    Talk talk(house);
    house.smtpd().close();
    house.loop.run_for(5ms);
    CHECK(talk.receive() == std::string(greeting) + "421 4.3.2 mx.example.test Service is shutting down\r\n");
}

TEST_CASE("screen: wrong values name their parameter")
{
    const auto refused = [](std::string name, std::string value) {
        try {
            (void)screened({{std::move(name), std::move(value)}});
        } catch (const config::BadValue& why) {
            return std::string(why.what());
        }
        return std::string("taken");
    };
    CHECK(refused("postscreen_dnsbl_sites", "a.test*x") ==
          "bad configuration: postscreen_dnsbl_sites: bad DNSBL weight factor \"x\" in \"a.test*x\"");
    CHECK(has(refused("postscreen_dnsbl_sites", "a.test=127.0.0.[2..1]"), "postscreen_dnsbl_sites: bad DNSBL filter syntax"));
    CHECK(has(refused("postscreen_dnsbl_sites", "-a-.test"), "postscreen_dnsbl_sites: bad DNSBL domain name \"-a-.test\""));
    CHECK(has(refused("postscreen_access_list", "permit_all"), "postscreen_access_list: \"permit_all\""));
    CHECK(has(refused("postscreen_greet_action", "reject"), "postscreen_greet_action"));
    CHECK(has(refused("postscreen_upstream_proxy_protocol", "x"), "postscreen_upstream_proxy_protocol"));
}
