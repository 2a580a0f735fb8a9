#include "peers/gallery.hpp"

#include "peers/stored.hpp"
#include "peers/stored.pb.h"

#include <doctest/doctest.h>

#include <map>

using namespace posthorn;
using namespace posthorn::peers;
using namespace std::chrono_literals;

namespace {

class PortraitShelf final : public Shelf {
public:
    std::optional<Record> peer(const std::string&) override { return {}; }
    std::optional<SiteRecord> site(const std::string&) override { return {}; }
    std::optional<Portrait> portrait(const std::string& key) override { return kept.contains(key) ? portrait_of(kept[key]) : std::nullopt; }
    void keep(const std::string& key, const Portrait& portrait) override
    {
        kept[key] = octets_of(portrait);
        ++writes;
    }
    void drop_portrait(const std::string& key) override { kept.erase(key); }
    std::map<std::string, std::string> kept;
    std::size_t writes = 0;
};

Observation session(std::string ehlo = "250-mx.test\n250-CHUNKING\n250 SIZE 20000000", std::string mx_set = "mx.test",
                    std::string address = "192.0.2.1")
{
    Evidence evidence;
    evidence.peer = {std::move(address), "mx.test", "smtp:example.com"};
    evidence.shown.greeting = "220 mx.test ESMTP";
    evidence.shown.ehlo_clear = std::move(ehlo);
    evidence.shown.mx_set = std::move(mx_set);
    return observation_of(frame_of(observe(evidence)));
}

}  // namespace

TEST_CASE("gallery: sessions that show the same as those before write nothing; a change is told once, of a site too, and over a restart")
{
    HandClock clock;
    PortraitShelf shelf;
    std::vector<std::string> told;
    const auto open = [&] {
        auto gallery = std::make_unique<Gallery>(clock, Wants{.message_size_limit = 10'240'000}, 10, &shelf);
        gallery->on_change = [&](const PeerKey& peer, const Change& change) { told.push_back(text_of(peer, change)); };
        return gallery;
    };
    auto gallery = open();
    for (int i = 0; i < 1000; ++i, clock.advance(1s))
        gallery->take(session());
    CHECK(shelf.writes == 2 * settled_after);                   // the address, and the site
    CHECK(told.empty());
    gallery = open();
    for (int i = 0; i < 4; ++i, clock.advance(1min))
        gallery->take(session("250-mx.test\n250 SIZE 20000000", "mx.new.test"));
    REQUIRE(told.size() == 2);
    CHECK(told[0].starts_with("peer mx.test[192.0.2.1]: changed: CHUNKING is gone since "));
    CHECK(told[1].starts_with("site smtp:example.com: changed: the MX set is mx.new.test since "));
    const std::size_t writes = shelf.writes;
    gallery = open();
    for (int i = 0; i < 100; ++i)
        gallery->take(session("250-mx.test\n250 SIZE 20000000", "mx.new.test"));
    CHECK(shelf.writes == writes);
    CHECK(told.size() == 2);
}

TEST_CASE("gallery: a session that has not ended, or that showed nothing, is not looked at; what is forgotten is a stranger")
{
    HandClock clock;
    PortraitShelf shelf;
    Gallery gallery(clock, {}, 10, &shelf);
    std::size_t told = 0;
    gallery.on_change = [&](const PeerKey&, const Change&) { ++told; };
    Observation part = session();
    part.whole = false;
    gallery.take(part);
    Observation nothing;
    nothing.peer.address = "192.0.2.1";
    gallery.take(nothing);
    CHECK(shelf.writes == 0);
    for (int i = 0; i < 5; ++i, clock.advance(1min))
        gallery.take(session());
    gallery.forget(portrait_key({"192.0.2.1", "x", "y"}, 25));
    CHECK(!shelf.kept.contains("192.0.2.1"));
    for (int i = 0; i < 5; ++i, clock.advance(1min))
        gallery.take(session("250-mx.test\n250 SIZE 20000000"));
    CHECK(told == 0);
    gallery.take(session(), Limits{.recipients_per_mail = 5});
    CHECK(told == 1);
}

TEST_CASE("gallery: two services of one address have two portraits, and go together")
{
    HandClock clock;
    PortraitShelf shelf;
    Gallery gallery(clock, {}, 10, &shelf);
    std::size_t told = 0;
    gallery.on_change = [&](const PeerKey&, const Change&) { ++told; };
    for (int i = 0; i < 200; ++i, clock.advance(1min)) {
        Observation one = session(i % 2 ? "250-mx.test\n250 SIZE 5" : "250-mx.test\n250 CHUNKING");
        one.face.port = i % 2 ? 587 : 25;
        gallery.take(one);
    }
    CHECK(told == 0);
    CHECK(gallery.keys().size() == 3);
    const PeerKey peer = session().peer;
    for (const std::string& key : gallery.keys())
        CHECK(is_portrait_of(key, peer));
    CHECK(!is_portrait_of("192.0.2.11", peer));
    CHECK(!is_portrait_of("192.0.2.", peer));
    CHECK(!is_portrait_of("@smtp:example.co", peer));
}

TEST_CASE("gallery: no more portraits are held than it may; those on the shelf are found again")
{
    HandClock clock;
    PortraitShelf shelf;
    Gallery gallery(clock, {}, 2, &shelf);
    std::size_t told = 0;
    gallery.on_change = [&](const PeerKey&, const Change&) { ++told; };
    for (int round = 0; round < 5; ++round, clock.advance(1min))
        for (int host = 0; host < 20; ++host)
            gallery.take(session("250-mx.test\n250 CHUNKING", "", "192.0.2." + std::to_string(host)));
    for (int round = 0; round < 3; ++round, clock.advance(1min))
        for (int host = 0; host < 20; ++host)
            gallery.take(session("250 mx.test", "", "192.0.2." + std::to_string(host)));
    CHECK(told == 20);
}

TEST_CASE("herald: ten lines of a site in an hour, then how many more there were; other sites are told as ever")
{
    HandClock clock;
    Herald herald;
    std::size_t said = 0;
    for (int i = 0; i < 100; ++i, clock.advance(10s))
        said += herald.may("smtp:a.test", clock.wall()) ? 1 : 0;
    CHECK(said == herald_lines);
    CHECK(herald.may("smtp:b.test", clock.wall()));
    CHECK(herald.over(clock.wall()).empty());
    clock.advance(1h);
    const auto over = herald.over(clock.wall());
    REQUIRE(over.size() == 1);
    CHECK(over[0].site == "smtp:a.test");
    CHECK(over[0].changes == 90);
    CHECK(herald.may("smtp:a.test", clock.wall()));
    CHECK(herald.over(clock.wall()).empty());
    for (std::size_t i = 0; i < herald_sites + 10; ++i)
        (void)herald.may("smtp:" + std::to_string(i), clock.wall());
    CHECK(!herald.may("smtp:one-too-many.test", clock.wall()));
    CHECK(herald.may("smtp:a.test", clock.wall()));
}

TEST_CASE("stored: a portrait reads back as it was; what is none, or says what cannot be, is left out")
{
    HandClock clock;
    Portrait portrait;
    portrait.peer = {"192.0.2.1", "mx.test", "smtp:example.com"};
    for (int i = 0; i < 9; ++i, clock.advance(1min))
        (void)look(portrait,
                   session(i < 5    ? "250-mx.test\n250-SIZE 5\n250 CHUNKING"
                           : i == 6 ? "250-mx.test\n250-X-ONE\n250-SIZE 5"
                                    : "250-mx.test\n250 SIZE 7")
                       .face,
                   {}, clock.wall());
    portrait.expiries = {{clock.wall(), true}};
    portrait.expiry_told = clock.wall();
    portrait.good_certificate = true;
    REQUIRE(!portrait.changes.empty());
    CHECK(portrait_of(octets_of(portrait)) == portrait);
    CHECK(portrait_of(octets_of(Portrait{})) == Portrait{});
    CHECK(!portrait_of("nonsense"));
    CHECK(!portrait_of(""));
    Portrait foreign;
    foreign.traits.push_back({.aspect = static_cast<Aspect>(99), .value = "x"});
    foreign.traits.push_back({.aspect = Aspect::feature, .name = "no name"});
    foreign.changes.push_back({.kind = static_cast<ChangeKind>(77)});
    const auto read = portrait_of(octets_of(foreign));
    REQUIRE(read);
    CHECK(read->traits.empty());
    CHECK(read->changes.empty());
}
