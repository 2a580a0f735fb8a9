#include "peers/book.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

using namespace posthorn;
using namespace posthorn::peers;
using namespace std::chrono_literals;

namespace {

Evidence frontbridge(std::string address = "192.0.2.2", std::string host = "VA3EHSMHS018.bigfish.com")
{
    Evidence evidence;
    evidence.peer = {std::move(address), std::move(host), "site"};
    evidence.exchanges = {{.verbs = {Verb::mail, Verb::rcpt, Verb::rset, Verb::quit}, .codes = {221}, .end = StreamEnd::end}};
    return evidence;
}
Meeting meets(std::string address = "192.0.2.2", std::string host = "va3ehsmhs018.bigfish.com", std::string greeting = "220 x")
{
    return {{std::move(address), std::move(host), "site"}, std::move(greeting), {}};
}

class MapShelf final : public Shelf {
public:
    std::optional<Record> peer(const std::string& key) override { return peers.contains(key) ? std::optional(peers[key]) : std::nullopt; }
    std::optional<SiteRecord> site(const std::string& key) override { return sites.contains(key) ? std::optional(sites[key]) : std::nullopt; }
    std::optional<Manners> manners(const std::string& key) override { return sets.contains(key) ? std::optional(sets[key]) : std::nullopt; }
    std::optional<EarlyRecord> early(const std::string& key) override { return ways.contains(key) ? std::optional(ways[key]) : std::nullopt; }
    void keep(const std::string& key, const EarlyRecord& record) override
    {
        ways[key] = record;
        ++writes;
    }
    void keep(const std::string& key, const Record& record) override
    {
        peers[key] = record;
        ++writes;
    }
    void keep(const std::string& key, const SiteRecord& record) override { sites[key] = record; }
    void keep(const std::string& key, const Manners& record) override { sets[key] = record; }
    int writes = 0;
    std::map<std::string, EarlyRecord> ways;
    std::map<std::string, Record> peers;
    std::map<std::string, SiteRecord> sites;
    std::map<std::string, Manners> sets;
};

}  // namespace

TEST_CASE("book: what one session showed, the next is told; another banner behind the same address is another peer")
{
    HandClock clock;
    Book book(clock, {});
    std::vector<Event> events;
    book.on_event = [&](const Event& event) { events.push_back(event); };
    CHECK(book.about(meets()).quirks.empty());
    CHECK(book.saw(frontbridge()));
    CHECK(book.about(meets()).quirks.text() == "quit-alone");
    CHECK(book.about(meets()).source == Source::learned);
    CHECK(book.about(meets("192.0.2.2", "other.test")).quirks.empty());
    CHECK(events.size() == 1);
    CHECK(!book.saw(frontbridge()));                          // no news
}

TEST_CASE("book: learning = report tells and obeys nothing; learning = no does not even look")
{
    HandClock clock;
    int told = 0;
    Book report(clock, {.learning = Learning::report});
    report.on_event = [&](const Event&) { ++told; };
    CHECK(!report.saw(frontbridge()));
    CHECK(told == 1);
    CHECK(report.about(meets()).quirks.empty());
    CHECK(report.about(meets()).learned.text() == "quit-alone");
    CHECK(!report.may_replay("site"));
    Book off(clock, {.learning = Learning::no});
    off.on_event = [&](const Event&) { ++told; };
    CHECK(!off.saw(frontbridge()));
    CHECK(told == 1);
    CHECK(off.about(meets()).learned.empty());
}

TEST_CASE("book: the rule file outvotes what was learned, and both can be shown")
{
    HandClock clock;
    auto rules = std::make_shared<Rules>();
    REQUIRE(rules->add("/bigfish/ !quit-alone no-rset mails-per-session=7", "rules"));
    Book book(clock, {}, rules);
    book.saw(frontbridge());
    const Known known = book.about(meets("192.0.2.2", "va3ehsmhs018.bigfish.com", "220 VA3EHSMHS018.bigfish.com Microsoft"));
    CHECK(known.quirks.text() == "no-rset");
    CHECK(known.learned.text() == "quit-alone");
    CHECK(known.ruled.text() == "no-rset");
    CHECK(known.source == Source::rule_file);
    CHECK(known.limits.mails_per_session == 7);
    CHECK(book.about(meets()).quirks.text() == "quit-alone");   // another greeting
}

TEST_CASE("book: one replay a minute for a site, none while connections fail")
{
    HandClock clock;
    Book book(clock, {});
    CHECK(book.may_replay("a"));
    CHECK(!book.may_replay("a"));
    CHECK(book.may_replay("b"));
    clock.advance(59s);
    CHECK(!book.may_replay("a"));
    clock.advance(1s);
    CHECK(book.may_replay("a"));
    book.connected("c", false);
    CHECK(!book.may_replay("c"));
    book.connected("c", true);
    CHECK(book.may_replay("c"));
    book.connected("d", false);
    clock.advance(60s);
    CHECK(book.may_replay("d"));
}

TEST_CASE("book: two hosts of a site that share a quirk speak for a third that is met for the first time")
{
    HandClock clock;
    Book book(clock, {});
    book.saw(frontbridge("192.0.2.2"));
    CHECK(book.about(meets("192.0.2.9", "new.test")).quirks.empty());
    book.saw(frontbridge("192.0.2.3"));
    CHECK(book.about(meets("192.0.2.9", "new.test")).quirks.text() == "quit-alone");
    Evidence fine = frontbridge("192.0.2.9", "new.test");
    fine.exchanges = {{.verbs = {Verb::mail, Verb::rcpt}, .codes = {250, 250}}};
    book.saw(fine);
    CHECK(book.about(meets("192.0.2.9", "new.test")).quirks.empty());   // it has an account of its own now
}

TEST_CASE("book: a canary is one session's, and the next one's after an answer or five minutes")
{
    HandClock clock;
    Book book(clock, {});
    book.saw(frontbridge());
    clock.advance(24h);
    CHECK(book.about(meets()).canary.text() == "quit-alone");
    clock.advance(1s);
    CHECK(book.about(meets()).canary.empty());
    clock.advance(5min);
    CHECK(book.about(meets()).canary.text() == "quit-alone");
}

TEST_CASE("book: at most `capacity` peers, the one used least recently goes; the shelf keeps it")
{
    HandClock clock;
    MapShelf shelf;
    Book book(clock, {.capacity = 3}, nullptr, &shelf);
    for (int i = 0; i < 3; ++i)
        book.saw(frontbridge("192.0.2." + std::to_string(i)));
    book.about(meets("192.0.2.0"));
    book.saw(frontbridge("192.0.2.3"));
    CHECK(book.peers() == 3);
    shelf.peers.erase("192.0.2.0 va3ehsmhs018.bigfish.com");
    CHECK(book.record({"192.0.2.0", "VA3EHSMHS018.bigfish.com", ""}).has_value());          // used lately: still in the book
    CHECK(book.about(meets("192.0.2.1")).quirks.text() == "quit-alone");                    // gone from the book, had from the shelf
    shelf.peers.clear();
    CHECK(!book.record({"192.0.2.2", "VA3EHSMHS018.bigfish.com", ""}).has_value());
}

TEST_CASE("book: a borrowed record is believed for a while, then the shelf counts again")
{
    HandClock clock;
    MapShelf stored;
    Book memory(clock, {}, nullptr, &stored), smtp(clock, {.capacity = 10, .fresh = 30s}, nullptr, &stored);
    CHECK(smtp.about(meets()).quirks.empty());
    memory.take(observe(frontbridge()));
    CHECK(smtp.about(meets()).quirks.empty());
    clock.advance(30s);
    CHECK(smtp.about(meets()).quirks.text() == "quit-alone");
}

TEST_CASE("book: what was learned while the clock was ahead is tested and expires as if it had been learned now")
{
    HandClock clock;
    MapShelf shelf;
    const auto ten_years = std::chrono::days{3650};
    clock.advance(ten_years);
    {
        Book before(clock, {}, nullptr, &shelf);
        before.saw(frontbridge());
        before.saw(frontbridge("192.0.2.3"));                 // the site learns of it, too
        before.refused_beside("set", 3);
        REQUIRE(before.about(meets()).quirks.text() == "quit-alone");
    }
    clock.step_wall(-ten_years);
    Book book(clock, {}, nullptr, &shelf);
    CHECK(book.about(meets()).quirks.text() == "quit-alone");
    CHECK(book.about(meets("192.0.2.9")).quirks.text() == "quit-alone");
    CHECK(book.sessions_at_once("set") == 3);
    clock.advance(std::chrono::hours{25});
    CHECK(book.about(meets()).canary.text() == "quit-alone"); // the daily test
    CHECK(book.sessions_at_once("set") == 0);
    clock.advance(std::chrono::days{7});
    CHECK(book.about(meets()).quirks.empty());
    CHECK(book.about(meets("192.0.2.9")).quirks.empty());
    CHECK(book.may_replay("site"));
    clock.step_wall(-std::chrono::hours{2});
    clock.advance(61s);
    CHECK(book.may_replay("site"));                           // by the other clock
}

TEST_CASE("book: a peer that is seen again as it was is written once an hour; what is new of it at once, and all of it when somebody wants to read")
{
    HandClock clock;
    clock.advance(std::chrono::hours{100'000});
    MapShelf shelf;
    Book book(clock, {.capacity = 2}, nullptr, &shelf);
    Evidence usual;
    usual.peer = {"192.0.2.2", "mx.test", "site"};
    usual.exchanges = {{.verbs = {Verb::mail, Verb::rcpt}, .codes = {250, 250}, .milliseconds = 3}};
    usual.keywords_clear = usual.early_clear = 3;              // it offers PIPECONNECT: its address has an account as well
    const std::string key = key_of(usual.peer);
    const auto written_by = [&](const Evidence& evidence) {
        const int before = shelf.writes;
        book.saw(evidence);
        return shelf.writes - before;
    };
    CHECK(written_by(usual) == 2);
    const int first = shelf.writes;
    for (int i = 0; i < 59; ++i) {
        clock.advance(1min);
        book.saw(usual);
    }
    CHECK(shelf.writes - first <= 2);                          // of the sightings that let it be spoken to early
    CHECK(shelf.peers[key].sessions == 1);
    CHECK(book.record(key)->sessions == 60);
    clock.advance(1min);
    CHECK(written_by(usual) == 1);
    CHECK(shelf.peers[key].sessions == 61);
    clock.advance(1min);
    CHECK(written_by(usual) <= 1);                             // the address's own hour
    Evidence news = usual;
    news.keywords_clear = 7;
    CHECK(written_by(news) == 1);
    CHECK(shelf.peers[key].keywords_clear == 7);
    CHECK(written_by(news) == 0);
    CHECK(written_by(frontbridge("192.0.2.2", "mx.test")) >= 1);
    CHECK(std::ranges::count(shelf.peers[key].marks, true, &Mark::convicted) == 1);
    CHECK(written_by(news) == 0);
    const std::uint32_t sessions = book.record(key)->sessions;
    CHECK(shelf.peers[key].sessions + 1 == sessions);
    book.catch_up();
    CHECK(shelf.peers[key].sessions == sessions);
    const int caught_up = shelf.writes;
    book.catch_up();
    CHECK(shelf.writes == caught_up);
    // Whoever leaves the book is on the shelf as it was.
    CHECK(written_by(news) == 0);
    for (const char* other : {"192.0.2.7", "192.0.2.8"})
        book.saw(frontbridge(other));
    CHECK(shelf.peers[key].sessions == sessions + 1);
}

TEST_CASE("book: the way to an address is forgotten by itself, also where no server is known there")
{
    HandClock clock;
    clock.advance(std::chrono::hours{100'000});
    MapShelf shelf;
    Book book(clock, {}, nullptr, &shelf);
    Evidence lost;
    lost.peer = {"192.0.2.2", "mx.test", "site"};
    lost.path = {.lost = 1448};
    book.saw(lost);
    CHECK(book.small_segments("192.0.2.2"));
    CHECK(shelf.ways["192.0.2.2"].path.lost == 1448);
    CHECK(book.forget_way("192.0.2.2"));
    CHECK_FALSE(book.small_segments("192.0.2.2"));
    CHECK(shelf.ways["192.0.2.2"].path == PathRecord{});
    CHECK_FALSE(book.forget_way("192.0.2.2"));
    CHECK_FALSE(book.forget_way("192.0.2.9"));
}
