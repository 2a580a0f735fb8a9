#include "peers/store.hpp"

#include "peers/stored.hpp"
#include "peers/stored.pb.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <random>

using namespace posthorn;
using namespace posthorn::peers;

namespace {

struct Folder {
    Folder() : path(std::filesystem::temp_directory_path() / ("posthorn-peers." + std::to_string(std::random_device{}())))
    {
        std::filesystem::create_directories(path);
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string file() const { return path / store_name; }
    std::filesystem::path path;
};

Record convicted(std::string address, std::int64_t last = 1)
{
    Record record;
    record.peer = {std::move(address), "h.test", "site"};
    record.last = WallTime{std::chrono::microseconds{last}};
    record.sessions = 3;
    record.marks.push_back(
        {.quirk = Quirk::quit_alone, .convicted = true, .sightings = 2, .tally = {1, 2, 3, 4}, .until = WallTime::max(), .seen = "RSET QUIT: 221"});
    record.limits.recipients_per_mail = 9;
    record.close_after = {3, 2};
    record.changes[1] = record.last;
    record.slowest[4] = 7;
    return record;
}

}  // namespace

TEST_CASE("stored: a record reads back as it was; octets that are none are none; a mark that is not to be learned is left out")
{
    const Record record = convicted("192.0.2.1");
    CHECK(record_of(octets_of(record)) == record);
    CHECK(record_of(octets_of(Record{})) == Record{});
    CHECK(!record_of("nonsense"));
    CHECK(!record_of(""));
    stored::Peer foreign;
    foreign.set_version(1);
    foreign.add_marks()->set_quirk(static_cast<std::uint32_t>(Quirk::no_tls));
    foreign.add_marks()->set_quirk(200);
    CHECK(record_of(foreign.SerializeAsString())->marks.empty());
    foreign.set_version(2);
    CHECK(!record_of(foreign.SerializeAsString()));
    SiteRecord site;
    site.shared.push_back({Quirk::quit_alone, 0, {"192.0.2.1", "192.0.2.2"}, record.last});
    CHECK(site_of(octets_of(site)) == site);
}

TEST_CASE("stored: an observation travels whole, and is cut to size where it comes from a stranger")
{
    Evidence evidence;
    evidence.peer = {"192.0.2.1", "h.test", "site"};
    evidence.tls = true;
    evidence.keywords_tls = 5;
    evidence.canary = {Quirk::quit_alone};
    evidence.mails = 2;
    evidence.exchanges = {{.verbs = {Verb::mail, Verb::rcpt, Verb::rset, Verb::quit}, .codes = {221}},
                          {.verbs = {Verb::bdat}, .codes = {550}, .surplus = true, .content = 9}};
    const Observation seen = observe(evidence);
    REQUIRE(seen.sightings.size() == 1);
    REQUIRE(seen.discards_bdat == false);
    const Observation back = observation_of(frame_of(seen));
    CHECK(back.peer == seen.peer);
    CHECK(back.sightings == seen.sightings);
    CHECK(back.canary == seen.canary);
    CHECK(back.discards_bdat == seen.discards_bdat);
    CHECK(back.keywords_tls == 5);
    CHECK(back.tls);
    stored::Observed hostile;
    hostile.set_banner_host(std::string(1 << 20, 'x'));
    for (int i = 0; i < 1000; ++i) {
        auto& one = *hostile.add_sightings();
        one.set_quirk(static_cast<std::uint32_t>(i));
        one.set_kind(static_cast<std::uint32_t>(i % 9));
    }
    CHECK(observation_of(hostile).peer.banner_host.size() == 300);
    CHECK(observation_of(hostile).sightings.size() <= 2 * quirk_count);
}

TEST_CASE("store: what was kept is there after a restart, and another process reads it without waiting")
{
    const Folder folder;
    StoredShelf reader(folder.file());
    CHECK(!reader.peer("a"));                                   // no file yet
    {
        auto store = Store::open(folder.file(), 100);
        REQUIRE_MESSAGE(store.has_value(), store.error().text());
        (*store)->keep("a", convicted("192.0.2.1"));
        CHECK((*store)->peer("a") == convicted("192.0.2.1"));   // before it is written
        CHECK(!reader.peer("a"));
        REQUIRE((*store)->flush());
        CHECK(reader.peer("a") == convicted("192.0.2.1"));
        (*store)->keep("b", convicted("192.0.2.2"));
        REQUIRE((*store)->flush());
        CHECK(reader.peer("b").has_value());
    }
    auto again = Store::open(folder.file(), 100);
    REQUIRE(again);
    CHECK((*again)->peers() == 2);
    CHECK((*again)->peer("a") == convicted("192.0.2.1"));
}

TEST_CASE("store: no more than its capacity, those not seen for longest go first, over a restart too")
{
    const Folder folder;
    {
        auto store = Store::open(folder.file(), 10);
        REQUIRE(store);
        for (int i = 0; i < 12; ++i)
            (*store)->keep("k" + std::to_string(i), convicted("192.0.2.1", 100 - i));
        REQUIRE((*store)->flush());
        CHECK((*store)->peers() == 10);
        CHECK(!(*store)->peer("k0"));
        CHECK((*store)->peer("k2"));
    }
    auto smaller = Store::open(folder.file(), 3);
    REQUIRE(smaller);
    CHECK((*smaller)->peers() == 3);
    CHECK((*smaller)->peer("k2"));                              // seen at 98, the latest of those left
    CHECK(!(*smaller)->peer("k11"));
}

TEST_CASE("store: portraits are rows of their own, a quarter as many as peers; listed, forgotten, and there after a restart")
{
    const Folder folder;
    const auto portrait = [](int number) {
        Portrait made;
        made.peer = {"192.0.2." + std::to_string(number), "h.test", "site"};
        made.last = WallTime{std::chrono::seconds{1000 + number}};
        made.traits.push_back({.aspect = Aspect::greeting, .value = "ESMTP", .seen = 5});
        return made;
    };
    {
        auto store = Store::open(folder.file(), 16);
        REQUIRE(store);
        for (int i = 0; i < 6; ++i)
            (*store)->keep(portrait(i).peer.address, portrait(i));
        (*store)->keep("192.0.2.5 h.test", convicted("192.0.2.5"));
        (*store)->drop_portrait("192.0.2.4");
        REQUIRE((*store)->flush());
        CHECK((*store)->portraits() == std::vector<std::string>{"192.0.2.5", "192.0.2.3", "192.0.2.2"});
        CHECK((*store)->portrait("192.0.2.5") == portrait(5));
        CHECK(!(*store)->portrait("192.0.2.4"));
        CHECK(!(*store)->portrait("192.0.2.0"));
        CHECK((*store)->peers() == 1);
    }
    auto again = Store::open(folder.file(), 16);
    REQUIRE(again);
    CHECK((*again)->portraits() == std::vector<std::string>{"192.0.2.5", "192.0.2.3", "192.0.2.2"});
    const auto all = StoredShelf(folder.file()).all();
    REQUIRE(all);
    CHECK(all->portraits == std::vector<Portrait>{portrait(2), portrait(3), portrait(5)});
    CHECK(all->peers.size() == 1);
}

TEST_CASE("store: a file that is no database, or was cut, is set aside, and the store begins anew")
{
    for (const bool cut : {false, true}) {
        const Folder folder;
        if (cut) {
            {
                auto store = Store::open(folder.file(), 100);
                REQUIRE(store);
                for (int i = 0; i < 200; ++i)
                    (*store)->keep("k" + std::to_string(i), convicted("192.0.2.1"));
                REQUIRE((*store)->flush());
            }
            std::filesystem::resize_file(folder.file(), std::filesystem::file_size(folder.file()) / 2);
            StoredShelf reader(folder.file());
            CHECK(!reader.peer("k1"));
        } else
            std::ofstream(folder.file()) << std::string(10'000, 'x');
        std::string trouble;
        auto store = Store::open(folder.file(), 100, &trouble);
        REQUIRE_MESSAGE(store.has_value(), store.error().text());
        CHECK(!trouble.empty());
        CHECK((*store)->peers() == 0);
        CHECK(std::filesystem::exists(folder.file() + ".bad"));
        (*store)->keep("a", convicted("192.0.2.1"));
        CHECK((*store)->flush());
    }
}

TEST_CASE("store: nothing is kept in a file that its writer has just made")
{
    const Folder folder;
    std::ofstream(folder.file()).close();
    StoredShelf reader(folder.file());
    const auto found = reader.all();
    REQUIRE(found);
    CHECK(found->peers.empty());
    CHECK(!reader.peer("a"));
    CHECK(std::filesystem::file_size(folder.file()) == 0);
}

TEST_CASE("store: a reader follows a file that was begun anew, and many commits under its eyes")
{
    const Folder folder;
    StoredShelf reader(folder.file());
    {
        auto store = Store::open(folder.file(), 100'000);
        REQUIRE(store);
        for (std::uint32_t round = 1; round < 200; ++round) {
            Record record = convicted("192.0.2.1");
            record.sessions = round;
            for (int i = 0; i < 20; ++i)
                (*store)->keep("k" + std::to_string(i + static_cast<int>(round)), record);
            (*store)->keep("a", record);
            REQUIRE((*store)->flush());
            REQUIRE(reader.peer("a"));
            CHECK(reader.peer("a")->sessions == round);
        }
    }
    std::filesystem::remove(folder.file());
    auto store = Store::open(folder.file(), 100);
    REQUIRE(store);
    (*store)->keep("new", convicted("192.0.2.9"));
    REQUIRE((*store)->flush());
    CHECK(reader.peer("new").has_value());
    CHECK(!reader.peer("a").has_value());
}

TEST_CASE("store: what a host asks of senders is there after a restart, for all processes, and is bounded; nonsense is nothing")
{
    Folder folder;
    HandClock clock;
    clock.advance(std::chrono::hours{100'000});
    const Book::Options learning{.learning = Learning::yes};
    const Advice greylist{.greylist = true};
    {
        auto store = Store::open(folder.file(), 10);
        REQUIRE(store);
        Book memory(clock, {}, nullptr, store->get()), smtp(clock, learning);
        int told = 0;
        smtp.on_manners = [&](const std::string& name, const Manners& manners) {
            ++told;
            const auto [of, value] = manners_of(frame_of(name, manners));
            CHECK(value == manners);
            memory.put(of, value);
        };
        smtp.refused_beside("mx.big.test", 4);
        smtp.refused_beside("mx.big.test", 3);                  // others were on their way
        smtp.refused_beside("mx.big.test", 4);
        CHECK(told == 1);
        CHECK(smtp.sessions_at_once("mx.big.test") == 4);
        CHECK(smtp.put_off("192.0.2.1", "s@a.test", "r@b.test", "451 greylisted", greylist) == std::nullopt);
        clock.advance(std::chrono::seconds{90});
        CHECK(smtp.taken("192.0.2.1", "s@a.test", "r@b.test"));
        for (int i = 0; i < 100; ++i)                           // not a write for every mail
            (void)smtp.put_off("192.0.2.1", "s@a.test", std::to_string(i), "451 greylisted", greylist);
        CHECK(told == 3);
        REQUIRE(store->get()->flush());
    }
    auto store = Store::open(folder.file(), 10);
    REQUIRE(store);
    StoredShelf shelf(folder.file());
    Book smtp(clock, learning, nullptr, &shelf);
    CHECK(smtp.sessions_at_once("mx.big.test") == 4);
    CHECK(smtp.sessions_at_once("mx.other.test") == 0);
    // Not the general back-off: the wait that passed before the restart.
    const auto when = smtp.put_off("192.0.2.1", "s@a.test", "new@b.test", "451 try later", {});
    REQUIRE(when);
    CHECK(*when - clock.wall() >= std::chrono::seconds{90});
    CHECK(*when - clock.wall() <= std::chrono::seconds{95});
    CHECK(smtp.put_off("192.0.2.2", "s@a.test", "new@b.test", "451 try later", {}) == std::nullopt);
    Book off(clock, {.learning = Learning::no}, nullptr, &shelf);
    CHECK(off.sessions_at_once("mx.big.test") == 0);
    CHECK(off.put_off("192.0.2.1", "s@a.test", "new@b.test", "451 try later", {}) == std::nullopt);
    clock.advance(std::chrono::hours{25});
    CHECK(Book(clock, learning, nullptr, &shelf).sessions_at_once("mx.big.test") == 0);
    clock.advance(greylist_lifetime);
    CHECK(Book(clock, learning, nullptr, &shelf).put_off("192.0.2.1", "s@a.test", "new@b.test", "451 try later", {}) == std::nullopt);
    for (int i = 0; i < 30; ++i)
        store->get()->keep("mx" + std::to_string(i), Manners{.sessions = 1});
    REQUIRE(store->get()->flush());
    CHECK(shelf.manners("mx29"));
    CHECK(!shelf.manners("mx5"));
    CHECK(!manners_of(std::string_view("nonsense")));
    CHECK(!manners_of(std::string_view("")));
    stored::Observed lies = frame_of("set", Manners{});
    lies.mutable_manners()->set_sessions(4'000'000'000);
    lies.mutable_manners()->set_passed(4'000'000'000);
    CHECK(manners_of(lies).second.sessions == 10'000);
    CHECK(manners_of(lies).second.passed == std::chrono::hours{7 * 24});
}

TEST_CASE("book: a set that lets more in than it was known to take is believed")
{
    HandClock clock;
    clock.advance(std::chrono::hours{100'000});
    Book book(clock, {});
    book.refused_beside("mx", 4);
    book.refused_beside("mx", 0);
    CHECK(book.sessions_at_once("mx") == 0);
    book.refused_beside("mx", 2);
    CHECK(book.sessions_at_once("mx") == 2);
    CHECK(book.sessions_at_once("") == 0);
}

TEST_CASE("store: what an MX set asked for is kept, listed with what else is kept of sets, and forgotten; numbers that are none stop no site")
{
    Folder folder;
    HandClock clock;
    const Restraint asked{.ceiling = 2,
                          .peak = 9,
                          .refused_at = 3,
                          .step = std::chrono::seconds{300},
                          .raised = clock.wall(),
                          .per_minute = 12.5,
                          .before = 50,
                          .quickened = clock.wall(),
                          .silent_until = clock.wall() + std::chrono::hours{2},
                          .until = clock.wall() + std::chrono::hours{3},
                          .last = clock.wall(),
                          .said = "host mx said: 421",
                          .sites = {"smtp:a.test", "smtp:b.test"}};
    {
        auto store = Store::open(folder.file(), 10);
        REQUIRE(store);
        const auto [set, told] = restraint_of(frame_of("mx.big.test", asked));
        CHECK(set == "mx.big.test");
        CHECK(told == asked);
        store->get()->keep(set, told);
        store->get()->keep("mx.other.test", asked);
        store->get()->keep("192.0.2.1", Manners{.greylists_until = clock.wall() + std::chrono::hours{1}, .last = clock.wall()});
        CHECK(restraint_of(frame_of("mx.other.test", std::nullopt)).second == std::nullopt);
        store->get()->keep("mx.other.test", std::nullopt);
        REQUIRE(store->get()->flush());
    }
    auto store = Store::open(folder.file(), 10);
    REQUIRE(store);
    CHECK(store->get()->sets() == std::vector<std::string>{"192.0.2.1", "mx.big.test"});
    CHECK(store->get()->restrained("mx.big.test"));
    CHECK(!store->get()->restrained("mx.other.test"));
    auto all = StoredShelf(folder.file()).all();
    REQUIRE(all);
    REQUIRE(all->restraints.size() == 1);
    CHECK(all->restraints[0] == std::pair(std::string("mx.big.test"), asked));
    REQUIRE(all->manners.size() == 1);
    CHECK(all->manners[0].first == "192.0.2.1");

    Book memory(clock, {}, nullptr, store->get());
    CHECK(memory.forget_manners("192.0.2.1"));
    CHECK(!memory.forget_manners("192.0.2.9"));
    REQUIRE(store->get()->flush());
    CHECK(StoredShelf(folder.file()).all()->manners.empty());
    for (int i = 0; i < 30; ++i)
        store->get()->keep("mx" + std::to_string(i), asked);
    REQUIRE(store->get()->flush());
    CHECK(StoredShelf(folder.file()).all()->restraints.size() == 10);

    stored::Observed lies = frame_of("set", asked);
    lies.mutable_restraint()->set_ceiling(4'000'000'000);
    lies.mutable_restraint()->set_per_minute(std::numeric_limits<double>::quiet_NaN());
    lies.mutable_restraint()->set_before(1e300);
    lies.mutable_restraint()->set_step(0);
    lies.mutable_restraint()->set_silent_until(std::numeric_limits<std::int64_t>::max());
    for (std::size_t i = 0; i < 2 * restrained_sites; ++i)
        lies.mutable_restraint()->add_sites("s");
    const Restraint held = *restraint_of(lies).second;
    CHECK(held.ceiling == 10'000);
    CHECK(held.peak == 10'000);
    CHECK(held.per_minute == 0);
    CHECK(held.before == 1e9);
    CHECK(held.step == std::chrono::seconds{1});
    CHECK(held.silent_until == clock.wall() + std::chrono::days{7});
    CHECK(held.sites.size() == restrained_sites);
    lies.mutable_restraint()->set_last(std::numeric_limits<std::int64_t>::max());
    lies.mutable_restraint()->set_raised(std::numeric_limits<std::int64_t>::min());
    const Restraint when = *restraint_of(lies).second;
    CHECK(when.raised == WallTime{});                       // what is reckoned from it cannot overflow
    CHECK(when.silent_until >= when.last);
    CHECK(when.last - clock.wall() < std::chrono::years{8'000});
    CHECK(!restraint_of(std::string_view("nonsense")));
    CHECK(!restraint_of(std::string_view("")));
}

TEST_CASE("store: what an operator had forgotten is still known to be so after a restart")
{
    const Folder folder;
    const WallTime when{std::chrono::seconds{1'795'226'081}};
    {
        const auto store = Store::open(folder.file(), 10).value();
        store->keep_forgotten("192.0.2.1 h.test", when);
        store->keep_forgotten({}, when - std::chrono::hours{1});
        CHECK(store->flush());
    }
    const auto store = Store::open(folder.file(), 10).value();
    CHECK(store->forgotten("192.0.2.1 h.test") == when);
    CHECK(store->forgotten({}) == when - std::chrono::hours{1});
    CHECK_FALSE(store->forgotten("192.0.2.2 h.test"));
}
