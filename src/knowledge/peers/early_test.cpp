#include "peers/book.hpp"
#include "peers/stored.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::peers;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t features = 0b1101, others = 0b1001;

Observation seen_at(std::string banner_host, std::uint32_t clear = features, std::uint32_t tls = 0)
{
    Observation made;
    made.peer = {"192.0.2.2", std::move(banner_host), "site"};
    made.keywords_clear = features;
    made.keywords_tls = tls;
    made.early_clear = clear;
    made.early_tls = tls;
    made.early_clean = clear != 0 || tls != 0;
    return made;
}

Observation refused()
{
    Observation made;
    made.peer = {"192.0.2.2", "", "site"};
    made.early_refused = true;
    made.early_seen = "554 5.5.0 Error: SMTP protocol synchronization";
    return made;
}

struct Account {
    void see(const Observation& what, int times = 1)
    {
        for (int i = 0; i < times; ++i) {
            hand.advance(1h);
            note_early(record, what, hand.wall());
        }
    }
    bool allowed() const { return early_of(record, hand.wall()) != Early{}; }

    HandClock hand;
    EarlyRecord record;
};

}  // namespace

TEST_CASE("early: three clean sightings within seven days, and not one less")
{
    Account account;
    account.see(seen_at("a.test"), 2);
    CHECK(!account.allowed());
    account.see(seen_at("A.test"));
    CHECK(account.allowed());
    CHECK(early_of(account.record, account.hand.wall()) == Early{features, 0, {"a.test"}});
    account.hand.advance(7 * 24h - 2h);
    CHECK(!account.allowed());                  // the first of the three is too old now
    account.see(seen_at("a.test"));
    CHECK(!account.allowed());                  // so is the second
}

TEST_CASE("early: every banner host of the address counts for itself; one that went away is forgotten after seven days")
{
    Account account;
    account.see(seen_at("a.test"), 3);
    account.see(seen_at("b.test"));
    CHECK(!account.allowed());
    account.see(seen_at("b.test"), 2);
    CHECK(account.allowed());
    account.see(seen_at("c.test", 0));          // it does not announce it
    CHECK(!account.allowed());
    account.hand.advance(7 * 24h);
    account.see(seen_at("a.test"), 3);
    CHECK(account.allowed());
    for (int i = 0; i < 9; ++i)
        account.see(seen_at("host" + std::to_string(i) + ".test"), 3);
    CHECK(!account.allowed());                  // a name for every session: nobody knows who comes next
}

TEST_CASE("early: a host whose features change, or differ from another's, is not known well enough")
{
    Account account;
    account.see(seen_at("a.test"), 3);
    account.see(seen_at("a.test", others));
    CHECK(!account.allowed());
    account.see(seen_at("a.test", others), 2);
    CHECK(early_of(account.record, account.hand.wall()) == Early{others, 0, {"a.test"}});
    account.see(seen_at("b.test", features), 3);
    CHECK(!account.allowed());
    Account tls;
    tls.see(seen_at("a.test", features, others), 3);
    CHECK(early_of(tls.record, tls.hand.wall()) == Early{features, others, {"a.test"}});
    tls.see(seen_at("b.test", features, features), 3);
    CHECK(early_of(tls.record, tls.hand.wall()) == Early{features, 0, {"a.test", "b.test"}});     // before TLS they agree, in TLS they do not
}

TEST_CASE("early: one refusal switches an address off for thirty days, whatever is seen meanwhile; an unclean session needs three clean ones")
{
    Account account;
    account.see(seen_at("a.test"), 3);
    account.see(refused());
    CHECK(!account.allowed());
    for (int day = 0; day < 29; ++day) {
        account.hand.advance(24h - 1h);
        account.see(seen_at("a.test"));
    }
    CHECK(!account.allowed());
    account.hand.advance(24h);
    CHECK(account.allowed());
    Observation unclean = seen_at("a.test");
    unclean.early_clean = false;
    account.see(unclean);
    CHECK(!account.allowed());
    account.see(seen_at("a.test"), 2);
    CHECK(!account.allowed());
    account.see(seen_at("a.test"));
    CHECK(account.allowed());
}

TEST_CASE("early: sessions that showed nothing count neither way, and a part of a session counts once")
{
    Account account;
    Observation part = seen_at("a.test");
    part.whole = false;
    account.see(part, 5);
    CHECK(!account.allowed());
    account.see(seen_at("a.test"), 3);
    Observation nothing;
    nothing.peer = {"192.0.2.2", "", "site"};
    account.see(nothing);
    CHECK(account.allowed());
}

TEST_CASE("early: the book keeps the account by address, says so once when it is switched off, and obeys nothing where learning is reported only")
{
    for (const auto mode : {Learning::yes, Learning::report, Learning::no}) {
        HandClock hand;
        Book book(hand, {.learning = mode});
        std::vector<std::string> told;
        book.on_event = [&](const Event& event) { told.push_back(text_of(event)); };
        for (int i = 0; i < 3; ++i)
            book.take(seen_at("a.test"));
        CHECK((book.early("192.0.2.2") != Early{}) == (mode == Learning::yes));
        CHECK(book.early("192.0.2.3") == Early{});
        book.take(refused());
        book.take(refused());
        CHECK(book.early("192.0.2.2") == Early{});
        REQUIRE(told.size() == 1);
        CHECK(told[0] ==
              "peer unknown[192.0.2.2]: learned no-early: 554 5.5.0 Error: SMTP protocol synchronization; nothing is said before its "
              "greeting, until 2026-01-31 00:00 UTC; by hand: smtp_discard_ehlo_keyword_address_maps, \"192.0.2.2 silent-discard, pipeconnect\"");
    }
}

TEST_CASE("early: accounts and observations survive their stored form; octets that are none are none")
{
    Account account;
    account.see(seen_at("a.test", features, others), 3);
    account.see(refused());
    CHECK(early_record_of(octets_of(account.record)) == account.record);
    CHECK(!early_record_of("nonsense"));
    CHECK(!early_record_of(""));
}

TEST_CASE("early: what smells of a test for early clients")
{
    for (const char* text : {"554 5.5.0 Error: SMTP protocol synchronization", "550 5.5.1 Protocol error", "554 SMTP synchronization error",
                             "521 5.7.1 pregreet: you spoke too soon", "503 5.5.0 Improper use of SMTP command pipelining"})
        CHECK(smells_of_pregreet_test(text));
    for (const char* text : {"550 5.1.1 User unknown", "421 4.3.2 too busy", "450 4.2.0 Greylisted"})
        CHECK(!smells_of_pregreet_test(text));
}
