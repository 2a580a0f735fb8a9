#include "async/run.hpp"
#include "siblings/session.hpp"

#include <boost/asio/detached.hpp>
#include <doctest/doctest.h>

#include <map>

namespace posthorn::siblings {

namespace {

using namespace std::chrono_literals;
using verify::Finding;

peers::Word told_of_peer(std::string address = "192.0.2.7")
{
    peers::Word word;
    word.peer = {std::move(address), "bridge.test", "smtp:bridge.test"};
    word.faults.push_back({peers::Quirk::quit_alone, 0, "RSET QUIT: 221", 1h, 24h});
    word.taken_back.push_back({peers::Quirk::data_alone, 2h});
    word.limits = {.recipients_per_mail = 50, .errors_per_session = 3};
    word.limits_left = 12h;
    word.tls_worked = 3h;
    return word;
}

verify::Told told_of_address(std::string key = "user@there.test") { return {std::move(key), Finding::Kind::deliverable, "250 2.1.5 Ok", 5min}; }

/// A memory that keeps what it hears apart from what it tells.
struct AnyMemory final : Memory {
    std::optional<peers::Word> peer(const std::string& key) override { return known.contains(key) ? std::optional(known.at(key)) : std::nullopt; }
    std::optional<peers::WayWord> way(const std::string& address) override
    {
        return lossy.contains(address) ? std::optional(peers::WayWord{address, 1448, 24h}) : std::nullopt;
    }
    std::optional<verify::Told> address(const std::string& key) override { return told_of_address(key); }
    std::vector<std::string> peers() override
    {
        std::vector<std::string> keys;
        for (const auto& [key, word] : known)
            keys.push_back(key);
        keys.emplace_back("nothing to tell");
        return keys;
    }
    std::vector<std::string> ways() override { return {lossy.begin(), lossy.end()}; }
    awaitable<Result<std::vector<verify::Told>>> addresses() override { co_return verified; }
    std::size_t hear(const Words& words, const std::string& by) override
    {
        heard.insert(heard.end(), words.peers.begin(), words.peers.end());
        ways_heard += words.ways.size();
        addresses_heard.insert(addresses_heard.end(), words.addresses.begin(), words.addresses.end());
        asked.insert(asked.end(), words.asking.begin(), words.asking.end());
        if (words.size() > 0)
            told_by = by;
        return words.size();
    }
    void away(const std::string& by) override { gone = by; }

    std::map<std::string, peers::Word> known;
    std::set<std::string> lossy;
    std::vector<verify::Told> verified, addresses_heard;
    std::vector<peers::Word> heard;
    std::vector<Asked> asked;
    std::size_t ways_heard = 0;
    std::string told_by, gone;
};

struct Pair {
    Pair()
        : ends(net::memory_pair(loop.get_executor())), one(std::move(ends.first), {"id-1", "1", "mx1.test"}, first, "mx2"),
          two(std::move(ends.second), {"id-2", "1", "mx2.test"}, second, "")
    {
    }
    void start()
    {
        const auto follow = [](Session& session, std::optional<Error>& why) -> awaitable<void> { why = co_await session.run(); };
        asio::co_spawn(loop, follow(one, why_one), asio::detached);
        asio::co_spawn(loop, follow(two, why_two), asio::detached);
    }
    void end()
    {
        one.close();
        run_until(loop, [&] { return why_one && why_two; });
    }
    asio::io_context loop;
    std::pair<std::unique_ptr<net::MemoryStream>, std::unique_ptr<net::MemoryStream>> ends;
    AnyMemory first, second;
    Session one, two;
    std::optional<Error> why_one, why_two;
};

/// What a session makes of octets of anybody's.
struct Stranger {
    explicit Stranger(const std::string& octets, bool stays = false)
    {
        auto [ours, theirs] = net::memory_pair(loop.get_executor());
        Session session(std::move(ours), {"id-1", "1", "mx1.test"}, memory, "mx2");
        asio::co_spawn(
            loop, [](Session& meant, std::optional<Error>& out) -> awaitable<void> { out = co_await meant.run(); }(session, why), asio::detached);
        run(loop, theirs->write(octets)).value();
        if (!stays)
            theirs->close();
        run_until(loop, [&] { return why.has_value(); });
    }
    asio::io_context loop;
    AnyMemory memory;
    std::optional<Error> why;
};

Said introduction_of(std::string identity = "id-9", std::string name = "mx9.test")
{
    Said said;
    said.mutable_introduction()->set_format(session_format);
    said.mutable_introduction()->set_identity(std::move(identity));
    said.mutable_introduction()->set_name(std::move(name));
    return said;
}

}  // namespace

TEST_CASE("words: what is told is what is heard, whole")
{
    Said said;
    add(said, told_of_peer());
    add(said, peers::WayWord{"192.0.2.9", 1448, 24h});
    add(said, told_of_address());
    add(said, Asked{"b@there.test", true});
    const auto words = words_of(said);
    REQUIRE(words);
    CHECK(words->peers == std::vector{told_of_peer()});
    CHECK(words->ways == std::vector{peers::WayWord{"192.0.2.9", 1448, 24h}});
    CHECK(words->addresses == std::vector{told_of_address()});
    CHECK(words->asking == std::vector{Asked{"b@there.test", true}});
}

TEST_CASE("words: one that is none makes all of its frame none; a quirk of a later version is left out")
{
    const auto refused = [](auto spoil) {
        Said said;
        add(said, told_of_peer());
        add(said, told_of_address());
        spoil(said);
        const auto words = words_of(said);
        CHECK_FALSE(words);
        return words ? std::string() : words.error().what();
    };
    CHECK(refused([](Said& said) { said.mutable_peers(0)->clear_address(); }) == "it tells of a server without a proper name");
    CHECK(refused([](Said& said) { said.mutable_peers(0)->set_address("192.0.2.7 x"); }) == "it tells of a server without a proper name");
    CHECK(refused([](Said& said) { said.mutable_peers(0)->set_banner_host("a\nb"); }) == "it tells of a server without a proper name");
    CHECK(refused([](Said& said) { said.mutable_peers(0)->mutable_faults(0)->set_seen(std::string(301, 'x')); }) ==
          "it tells what 192.0.2.7 does in words that are none");
    CHECK(refused([](Said& said) { said.mutable_addresses(0)->set_key("control:there.test"); }) == "it tells of an address that is none");
    CHECK(refused([](Said& said) { said.mutable_addresses(0)->set_text("250\r\n"); }) == "it tells of an address that is none");
    CHECK(refused([](Said& said) { said.mutable_addresses(0)->set_kind(1); }) == "it tells a result of user@there.test that is none");
    CHECK(refused([](Said& said) { said.add_ways(); }) == "it tells of a way to no address");
    CHECK(refused([](Said& said) { said.add_asking()->set_key("a:b"); }) == "it tells that it asks about an address that is none");
    Said said;
    add(said, told_of_peer());
    said.mutable_peers(0)->mutable_faults(0)->set_quirk(77);
    const auto words = words_of(said);
    REQUIRE(words);
    CHECK(words->peers[0].faults.empty());
}

TEST_CASE("frames: they come in any pieces; what is none of ours is said in its own words")
{
    Said said;
    add(said, told_of_address());
    const std::string twice = frame_of(said) + frame_of(said);
    for (std::size_t piece = 1; piece <= twice.size(); ++piece) {
        Frames frames;
        std::size_t whole = 0;
        for (std::size_t at = 0; at < twice.size(); at += piece) {
            frames.feed(std::string_view(twice).substr(at, piece));
            while (const auto frame = frames.next()) {
                REQUIRE(*frame);
                CHECK((*frame)->SerializeAsString() == said.SerializeAsString());
                ++whole;
            }
        }
        CHECK(whole == 2);
    }
    Frames frames;
    frames.feed("posthorn share: fatal: the mail system is down\n");
    const auto frame = frames.next();
    REQUIRE(frame);
    CHECK(frame->error().what() == "it says what is none of ours: \"posthorn share: fatal: the mail system is down\"");
    CHECK_FALSE(frames.next());
}

TEST_CASE("session: each side hears all that there is to tell, under the name that it has for the other, and then what is new")
{
    Pair pair;
    for (int number = 0; number < 3000; ++number) {
        const std::string address = "192.0.2." + std::to_string(number);
        pair.first.known.emplace(address, told_of_peer(address));
        pair.first.verified.push_back(told_of_address("u" + std::to_string(number) + "@there.test"));
    }
    pair.second.lossy.insert("192.0.2.9");
    pair.start();
    run_until(pair.loop,
              [&] { return pair.second.heard.size() == 3000 && pair.second.addresses_heard.size() == 3000 && pair.first.ways_heard == 1; });
    CHECK(pair.first.told_by == "mx2");
    CHECK(pair.second.told_by == "mx1.test");
    CHECK(pair.one.counts().told == 6000);
    CHECK(pair.two.counts().heard == 6000);
    CHECK(pair.first.heard.empty());
    pair.second.known.emplace("new", told_of_peer("192.0.2.77"));
    pair.two.more_of_peer("new");
    pair.two.asking({"x@there.test", false});
    pair.two.more_of_address("x@there.test");
    run_until(pair.loop, [&] { return pair.first.heard.size() == 1 && pair.first.addresses_heard.size() == 1 && pair.first.asked.size() == 1; });
    CHECK(pair.first.heard[0].peer.address == "192.0.2.77");
    pair.end();
    CHECK(pair.first.gone == "mx2");
    CHECK(pair.second.gone == "mx1.test");
    CHECK(pair.why_two->what() == "it ended");
}

TEST_CASE("session: who does not say who he is, is ourselves, or says what is no word is left, and nothing of that is heard")
{
    CHECK(Stranger("Welcome to mx2!\r\n").why->what() == "it says what is none of ours: \"Welcome to mx2!\"");
    CHECK(Stranger("").why->what() == "it ended before it said who it is");
    Said word;
    add(word, told_of_peer());
    const Stranger silent(frame_of(word));
    CHECK(silent.why->what() == "it does not say who it is");
    CHECK(silent.memory.heard.empty());
    CHECK(Stranger(frame_of(introduction_of("id-1"))).why->what() == "it is this memory itself: the command leads back here");
    CHECK(Stranger(frame_of(introduction_of("id-9", "a b"))).why->what() == "it does not say who it is");
    Said later = introduction_of();
    later.mutable_introduction()->set_format(2);
    CHECK(Stranger(frame_of(later)).why->what() == "it is of another version, whose words are others");
    Said bad;
    add(bad, told_of_peer("192.0.2.8"));
    bad.add_ways();
    const Stranger half(frame_of(introduction_of()) + frame_of(word) + frame_of(bad) + frame_of(word));
    CHECK(half.why->what() == "it tells of a way to no address");
    REQUIRE(half.memory.heard.size() == 1);
    CHECK(half.memory.heard[0].peer.address == "192.0.2.7");
    Said failed = introduction_of();
    failed.set_failed("there are 64 siblings already");
    CHECK(Stranger(frame_of(failed), true).why->what() == "it says: there are 64 siblings already");
}

}  // namespace posthorn::siblings
