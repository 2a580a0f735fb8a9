#include "peers/listing.hpp"

#include "peers/book.hpp"
#include "peers/store.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

using namespace posthorn;
using namespace posthorn::peers;
using std::chrono::seconds;

namespace {

const WallTime noon{seconds{1'767'225'600}};

Record full()
{
    Record record;
    record.peer = {"/run/a b/lmtp%", "h.test", ""};
    record.first = noon;
    record.last = noon + seconds{5};
    record.sessions = 12;
    record.keywords_clear = 7;
    record.keywords_tls = 9;
    record.changes = {noon, noon + seconds{1}};
    record.removed = record.tls_worked = record.tls_alarm = record.discards_bdat_until = noon + seconds{2};
    record.marks.push_back({.quirk = Quirk::quit_alone,
                            .convicted = true,
                            .sightings = 2,
                            .tally = {1, 2, 3, 4},
                            .first = noon,
                            .last = noon,
                            .since = noon,
                            .until = noon + seconds{9},
                            .canary = noon,
                            .clean_canaries = 1,
                            .seen = "RSET QUIT: 221, then = the end"});
    record.marks.push_back({.quirk = Quirk::no_param, .try_without = true, .number = 5});
    record.limits = {.recipients_per_mail = 9, .mails_per_session = 8, .errors_per_session = 7, .sessions = 6};
    record.limits_until = noon + seconds{3};
    record.recipients = {5, 2};
    record.errors = {4, 1};
    record.close_after = {3, 2};
    record.slowest[4] = 7;
    return record;
}

std::string refused(std::string_view text)
{
    const auto parsed = parse_listing(text, "file");
    return parsed ? std::string("taken") : parsed.error().what();
}

}  // namespace

TEST_CASE("listing: what is written reads back as it was, comments and empty lines say nothing")
{
    const std::vector<Record> records{full(), Record{.peer = {"192.0.2.1", "", "smtp:x.test"}, .first = noon, .last = noon}};
    const std::string text = listing_of(records);
    CHECK(text.starts_with("posthorn-peers 1\npeer /run/a%20b/lmtp%25 h.test -\n sessions 12 2026-01-01T00:00:00Z 2026-01-01T00:00:05Z\n"));
    CHECK(text.find(" quirk quit-alone convicted sightings=2 with=1/2 without=3/4 first=2026-01-01T00:00:00Z") != std::string::npos);
    const auto again = parse_listing(text, "file");
    REQUIRE_MESSAGE(again.has_value(), refused(text));
    CHECK(*again == records);
    CHECK(listing_of(*again) == text);
    CHECK(parse_listing("# by hand\n\nposthorn-peers 1\r\n# nothing\npeer 192.0.2.1 - -\n", "file")->size() == 1);
    CHECK(parse_listing("posthorn-peers 1", "file")->empty());
}

TEST_CASE("listing: what is wrong is refused whole, with file and line")
{
    const std::string head = "posthorn-peers 1\npeer 192.0.2.1 h.test -\n";
    for (const auto& [text, why] : std::initializer_list<std::pair<std::string, std::string>>{
             {"", "file, line 1: the first line is to be 'posthorn-peers 1'"},
             {"posthorn-peers 2\n", "file, line 1: the first line is to be 'posthorn-peers 1'"},
             {"posthorn-peers 1\nsessions 1 - -\n", "file, line 2: a line before the first peer"},
             {"posthorn-peers 1\npeer 192.0.2.1\n", "file, line 2: peer wants an address, a banner host and a site"},
             {"posthorn-peers 1\npeer - h -\n", "file, line 2: a peer without an address"},
             {"posthorn-peers 1\npeer a%2 h -\n", "file, line 2: bad word 'a%2'"},
             {head + "peer 192.0.2.1 H.TEST x\n", "file, line 3: 192.0.2.1 H.TEST stands here twice"},
             {head + "quirk quit\n", "file, line 3: unknown quirk 'quit'"},
             {head + "quirk\n", "file, line 3: quirk wants a name"},
             {head + "quirk no-tls convicted until=2026-01-01T00:00:00Z\n", "file, line 3: no-tls is never learned: smtp_peer_rules can say it"},
             {head + "quirk no-bdat-over number=9\n", "file, line 3: no-bdat-over is written 'no-bdat number=N'"},
             {head + "quirk quit-alone\nquirk quit-alone\n", "file, line 4: quit-alone stands twice for one peer"},
             {head + "quirk quit-alone convicted\n", "file, line 3: a convicted quirk wants until=TIME"},
             {head + "quirk close-after convicted until=2026-01-01T00:00:00Z\n", "file, line 3: close-after wants number=N"},
             {head + "quirk no-param number=16\n", "file, line 3: bad number '16'"},
             {head + "quirk quit-alone until=2026-02-30T00:00:00Z\n", "file, line 3: bad time '2026-02-30T00:00:00Z'"},
             {head + "quirk quit-alone unless=x\n", "file, line 3: unknown word 'unless=x'"},
             {head + "quirk quit-alone with=1\n", "file, line 3: bad pair of numbers '1'"},
             {head + "quirk quit-alone sightings=4294967296\n", "file, line 3: bad number '4294967296'"},
             {head + "sessions 1 -\n", "file, line 3: sessions wants 3 words"},
             {head + "sessions 1 - -\nsessions 1 - -\n", "file, line 4: sessions stands twice for one peer"},
             {head + "slowest 1 2\n", "file, line 3: slowest wants 16 words"},
             {head + "limits recipients=1\n", "file, line 3: unknown word 'recipients=1'"},
             {head + "nonsense\x01\n", "file, line 3: unknown word 'nonsense?'"},
             {head + std::string(2001, '#') + "\n", "file, line 3: longer than 2000 octets"},
             {head + "quirk quit-alone seen=" + std::string(301, 'x') + "\n", "file, line 3: seen= is too long"}})
        CHECK(refused(text) == why);
}

TEST_CASE("book: what an operator has forgotten is gone from the book, the store and the site's account; what is put in is in force")
{
    char name[] = "/tmp/posthorn-listing-XXXXXX";
    const std::string folder = ::mkdtemp(name);
    const std::string file = folder + "/" + std::string(store_name);
    HandClock clock;
    {
        auto store = *Store::open(file, 100);
        Book book(clock, {}, nullptr, store.get());
        for (const char* address : {"192.0.2.1", "192.0.2.2"}) {
            Observation seen;
            seen.peer = {address, "h.test", "smtp:x"};
            seen.sightings.push_back({Quirk::quit_alone, Sighting::Kind::signature, 0, "RSET QUIT: 221"});
            seen.path.lost = 1448;
            (void)book.take(seen);
        }
        REQUIRE(store->flush().has_value());
        const Meeting third{{"192.0.2.3", "h.test", "smtp:x"}, "220 h.test", ""};
        CHECK(book.about(third).quirks.has(Quirk::quit_alone));           // two of the site were convicted
        Book reader(clock, {.fresh = std::chrono::hours{1}}, nullptr, store.get());
        CHECK(reader.small_segments("192.0.2.1"));
        CHECK(book.forget("192.0.2.1 h.test"));
        CHECK_FALSE(book.small_segments("192.0.2.1"));
        CHECK(book.small_segments("192.0.2.2"));
        reader.let_go({"192.0.2.1 h.test"}, false);
        CHECK_FALSE(reader.small_segments("192.0.2.1"));
        CHECK_FALSE(book.forget("192.0.2.1 h.test"));
        CHECK_FALSE(book.forget("192.0.2.9 h.test"));
        CHECK_FALSE(book.about({{"192.0.2.4", "h.test", "smtp:x"}, "220 h.test", ""}).quirks.has(Quirk::quit_alone));
        CHECK_FALSE(book.about({{"192.0.2.1", "h.test", ""}, "220 h.test", ""}).quirks.has(Quirk::quit_alone));
        REQUIRE(store->flush().has_value());
        CHECK(store->keys() == std::vector<std::string>{"192.0.2.2 h.test"});
        const auto told = parse_listing(listing_of(StoredShelf(file).all()->peers), "file");
        REQUIRE(told->size() == 1);
        CHECK(book.forget("192.0.2.2 h.test"));
        book.put(told->front());
        CHECK(book.about({{"192.0.2.2", "h.test", ""}, "220 h.test", ""}).quirks.has(Quirk::quit_alone));
        REQUIRE(store->flush().has_value());
        CHECK(StoredShelf(file).all()->peers.front().peer.address == "192.0.2.2");
        CHECK(StoredShelf(folder + "/none").all()->peers.empty());
    }
    std::filesystem::remove_all(folder);
}

TEST_CASE("book: what a session's process has borrowed is fetched again when memory says that it changed")
{
    class Lender final : public Shelf {
    public:
        Record record;
        std::optional<Record> peer(const std::string&) override { return record; }
        std::optional<SiteRecord> site(const std::string&) override { return std::nullopt; }
    } lender;
    HandClock clock;
    Book book(clock, {.fresh = seconds{30}}, nullptr, &lender);
    lender.record.peer = {"192.0.2.1", "h.test", "x"};
    lender.record.marks.push_back({.quirk = Quirk::quit_alone, .convicted = true, .until = clock.wall() + seconds{900}});
    const Meeting meeting{lender.record.peer, "220 h.test", ""};
    CHECK(book.about(meeting).quirks.has(Quirk::quit_alone));
    lender.record.marks.clear();
    CHECK(book.about(meeting).quirks.has(Quirk::quit_alone));
    book.let_go({"192.0.2.7 h.test"}, false);
    CHECK(book.about(meeting).quirks.has(Quirk::quit_alone));
    book.let_go({"192.0.2.1 h.test"}, false);
    CHECK_FALSE(book.about(meeting).quirks.has(Quirk::quit_alone));
    lender.record.marks.push_back({.quirk = Quirk::quit_alone, .convicted = true, .until = clock.wall() + seconds{900}});
    book.let_go({}, true);
    CHECK(book.about(meeting).quirks.has(Quirk::quit_alone));
}
