// Peers that ask for less, for silence, or for the same again later; and a second session beside a silent one.
#include "peers/book.hpp"
#include "peers/params.hpp"
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<const peers::Rules> rules_of(std::string_view text)
{
    auto rules = std::make_shared<peers::Rules>();
    const auto added = rules->add(text, "rules");
    REQUIRE_MESSAGE(added, (added ? "" : added.error().text()));
    return rules;
}
std::shared_ptr<const peers::Rules> shipped()
{
    std::vector<std::string> troubles;
    return peers::load_rules("shipped", troubles);
}

struct Shaped : World {
    explicit Shaped(std::string_view script, std::shared_ptr<const peers::Rules> rules = nullptr) : World(script), book(hand, {}, std::move(rules))
    {
        turned = &hand;
        knowledge = &book;
        options.timeouts.helo = options.timeouts.quit = seconds(2);
        options.timeouts.mail = options.timeouts.rcpt = options.timeouts.data_init = options.timeouts.data_done = seconds(20);
    }
    bool logged(std::string_view text) const
    {
        return std::ranges::any_of(log->lines, [&](const std::string& line) { return line.find(text) != line.npos; });
    }
    /// This address takes so many sessions at once, as `script` says; one more is refused.
    void takes_at_once(const std::string& address, unsigned sessions)
    {
        players[address] = [this, address, sessions](std::unique_ptr<net::Stream> stream) { return play(std::move(stream), address, sessions); };
    }
    awaitable<void> play(std::unique_ptr<net::Stream> stream, std::string address, unsigned sessions)
    {
        if (standing >= sessions) {
            refused.play_count++;
            co_await refused.peer.play(std::move(stream));
            co_return;
        }
        most = std::max(most, ++standing);
        co_await peers.at(address)->play(std::move(stream));
        --standing;
    }

    struct Refused {
        sim::Settings settings;
        sim::Peer peer{sim::peer_text("too-many-connections"), settings};
        unsigned play_count = 0;
    };
    HandClock hand;
    peers::Book book;
    unsigned standing = 0, most = 0;
    Refused refused;
};

handoff::DeliveryRequest mail_for(const std::string& domain)
{
    auto made = request({"user@" + domain}, "Subject: x\r\n\r\nhello\r\n", domain);
    made.mutable_envelope()->set_queue_id("Q" + domain);
    return made;
}

}  // namespace

TEST_CASE("a reply that asks for silence, or for less, is told to the queue with its words; the mail is deferred, and the site is not dead")
{
    Shaped world("slow-down", shipped());
    const auto verdicts = world.run(request({"user@example.test"}));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(!verdicts.site_failed());
    CHECK(verdicts.shaping().set() == "192.0.2.2");
    CHECK(verdicts.shaping().suspend() == 7200);
    CHECK(verdicts.shaping().said().find("421 4.7.0 [TSS04] Messages temporarily deferred") != std::string::npos);
    Shaped greeting("too-many-connections", rules_of("reply /too many/ slower"));
    const auto refused = greeting.run(request({"user@example.test"}));
    CHECK(refused.verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(refused.shaping().slower());
    CHECK(refused.shaping().refused_at() == 0);             // no other stood: it is not about their number
    CHECK(!refused.site_failed());
    Shaped quiet("data-only", shipped());
    CHECK(quiet.run(request({"user@example.test"})).shaping().said().empty());
}

TEST_CASE("what a reply means may be said of one site alone")
{
    constexpr std::string_view rules = "domain /^example.test$/ site=slow\nreply@slow /TSS04/ suspend=1h\nreply /TSS04/ suspend=2h\n";
    Shaped named("slow-down", rules_of(rules));
    named.names.addresses_of["example.test"] = {"192.0.2.2"};
    CHECK(named.run(request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test")).shaping().suspend() == 3600);
    Shaped other("slow-down", rules_of(rules));
    CHECK(other.run(request({"user@example.test"})).shaping().suspend() == 7200);
}

TEST_CASE("a 5xx that means later: returned without a rule, deferred by one, and the log says so; other refusals are not touched")
{
    Shaped plain("permanent-for-now");
    CHECK(plain.run(request({"user@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_BOUNCED);
    Shaped ruled("permanent-for-now", rules_of("reply /^554 .*try again later/ temporary"));
    const auto verdict = ruled.run(request({"user@example.test"})).verdicts(0);
    CHECK(verdict.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(verdict.status().starts_with("4"));
    CHECK(ruled.logged("taken for temporary, by smtp_peer_rules"));
    Shaped other("data-only", rules_of("reply /^554 .*try again later/ temporary"));
    CHECK(other.run(request({"unknown@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_BOUNCED);
}

TEST_CASE("a peer that counts connections: the mail of a refused session goes over those that stand, at once; the queue hears how many stood")
{
    Shaped world("exchange-2007");
    world.takes_at_once("192.0.2.2", 2);
    std::vector<handoff::DeliveryRequest> mails;
    for (int i = 0; i < 10; ++i)
        mails.push_back(request({"user@example.test"}));
    const auto all = world.run(std::move(mails));
    std::uint32_t refused_at = 0;
    for (const auto& verdicts : all) {
        CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        CHECK(!verdicts.site_failed());
        refused_at = std::max(refused_at, verdicts.shaping().refused_at());
    }
    CHECK(world.refused.play_count > 0);
    CHECK(refused_at >= 1);
    CHECK(refused_at <= 2);
    CHECK(world.most == 2);
    CHECK(world.peer().contents().size() == 10);
}

TEST_CASE("after a restart the sessions that a set lately took are kept to at once, and told to the queue; a minute later its word counts")
{
    peers::Manners stored;
    std::string set;
    for (const bool restarted : {false, true}) {
        CAPTURE(restarted);
        Shaped world("exchange-2007");
        world.takes_at_once("192.0.2.2", 2);
        if (restarted)
            world.book.put(set, stored);
        world.book.on_manners = [&](const std::string& name, const peers::Manners& manners) {
            set = name;
            stored = manners;
        };
        std::vector<handoff::DeliveryRequest> mails;
        for (int i = 0; i < 10; ++i)
            mails.push_back(request({"user@example.test"}));
        const auto all = world.run(std::move(mails));
        std::uint32_t refused_at = 0;
        for (const auto& verdicts : all) {
            CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
            refused_at = std::max(refused_at, verdicts.shaping().refused_at());
        }
        CHECK(stored.sessions >= 1);
        CHECK(stored.sessions <= 2);
        CHECK(refused_at >= 1);
        CHECK(world.refused.play_count == (restarted ? 0 : world.refused.play_count));
        if (!restarted)
            CHECK(world.refused.play_count > 0);
        CHECK(world.peer().contents().size() == 10);
    }
}

TEST_CASE("where the hosts take one session at once, an idle one makes room for another domain of theirs")
{
    Shaped world("exchange-2007");
    world.takes_at_once("192.0.2.2", 1);
    world.in_turn = true;
    for (const char* domain : {"a.test", "b.test"})
        world.names.mx_of[domain] = {{10, "mx.big.test"}};
    world.names.addresses_of["mx.big.test"] = {"192.0.2.2"};
    auto first = mail_for("a.test"), second = mail_for("b.test");
    first.set_set_connections(1);
    second.set_set_connections(1);
    const auto all = world.run({first, second});
    CHECK(all[0].verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(all[1].verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(all[0].shaping().set() == "mx.big.test");
    CHECK(all[1].shaping().set() == "mx.big.test");
    CHECK(world.refused.play_count == 0);
}

TEST_CASE("a rule's name, sessions and rate of a host go to the queue with every verdict; the MX set is all hosts, tried or not")
{
    Shaped world("exchange-2007", rules_of("host /^mx[0-9].big.test$/ site=big sessions=3 rate=2/s mails-per-session=1"));
    world.names.mx_of["a.test"] = {{10, "mx1.big.test"}, {20, "mx2.big.test"}};
    world.names.mx_of["b.test"] = {{20, "mx9.other.test"}, {10, "mx.other.test"}};
    world.names.addresses_of["mx1.big.test"] = world.names.addresses_of["mx.other.test"] = {"192.0.2.2"};
    world.names.addresses_of["mx2.big.test"] = world.names.addresses_of["mx9.other.test"] = {"192.0.2.3"};
    world.in_turn = true;
    const auto all = world.run({mail_for("a.test"), mail_for("a.test"), mail_for("b.test")});
    for (int i : {0, 1}) {
        CHECK(all[i].shaping().set() == "big");
        CHECK(all[i].shaping().sessions() == 3);
        CHECK(all[i].shaping().interval() == 500'000);
    }
    CHECK(all[2].shaping().set() == "mx.other.test,mx9.other.test");
    CHECK(all[2].shaping().sessions() == 0);
    CHECK(world.peer().sessions().size() == 3);             // one mail in a session
}

TEST_CASE("a domain's rule counts for its mail, and not for another's of the same hosts; what a set asks for, it asks of one source address")
{
    Shaped world("exchange-2007", rules_of("domain /^a.test$/ sessions=3 mails-per-session=1"));
    for (const char* domain : {"a.test", "b.test"})
        world.names.mx_of[domain] = {{10, "mx.big.test"}};
    world.names.addresses_of["mx.big.test"] = {"192.0.2.2"};
    world.in_turn = true;
    world.options.bind4 = net::IpAddress::parse("192.0.2.77");
    const auto all = world.run({mail_for("a.test"), mail_for("b.test"), mail_for("a.test"), mail_for("b.test")});
    CHECK(all[0].shaping().set() == "mx.big.test from 192.0.2.77");
    CHECK(all[0].shaping().sessions() == 3);
    CHECK(all[1].shaping().set() == "mx.big.test from 192.0.2.77");
    CHECK(all[1].shaping().sessions() == 0);
    CHECK(world.peer().sessions().size() == 3);             // one for each of a.test's, one for both of b.test's
}

TEST_CASE("connections begin as often as a rule says; mail that waits for its time goes over a session that stands, if one has room for it")
{
    Shaped world("exchange-2007", rules_of("host /^mx.big.test$/ connects=6/m mails-per-session=1"));
    for (const char* domain : {"a.test", "b.test"})
        world.names.mx_of[domain] = {{10, "mx.big.test"}};
    world.names.addresses_of["mx.big.test"] = {"192.0.2.2"};
    std::vector<SteadyTime> begun;
    world.players["192.0.2.2"] = [&](std::unique_ptr<net::Stream> stream) {
        begun.push_back(world.hand.steady());
        return world.peers.at("192.0.2.2")->play(std::move(stream));
    };
    world.leaps = &world.hand;
    const auto all = world.run({mail_for("a.test"), mail_for("a.test"), mail_for("b.test"), mail_for("a.test")});
    for (const auto& verdicts : all)
        CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    REQUIRE(begun.size() == 4);
    for (std::size_t at = 1; at < begun.size(); ++at)
        CHECK(begun[at] - begun[at - 1] >= 10s);
    CHECK(begun[3] - begun[0] < 40s);

    Shaped shared("exchange-2007", rules_of("host /./ connects=1/h"));
    shared.leaps = &shared.hand;
    for (const auto& verdicts : shared.run({request({"user@example.test"}), request({"user@example.test"}), request({"user@example.test"})}))
        CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(shared.peer().sessions().size() == 1);
}

TEST_CASE("greylisting: no other host is tried, the queue hears when, the next attempt goes to the same host, and the first that passes is told")
{
    Shaped world("greylists", shipped());
    world.add("192.0.2.3", "exchange-2007");
    world.names.mx_of["a.test"] = {{10, "mx1.a.test"}, {20, "mx2.a.test"}};
    world.names.addresses_of["mx1.a.test"] = {"192.0.2.2"};
    world.names.addresses_of["mx2.a.test"] = {"192.0.2.3"};
    const auto first = world.run(mail_for("a.test"));
    CHECK(first.verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(first.verdicts(0).retry_at() == (world.hand.wall() + 302s).time_since_epoch().count());
    CHECK(world.peer("192.0.2.3").sessions().empty());
    // Now the other host is preferred; the time runs at the first one.
    world.names.mx_of["a.test"] = {{30, "mx1.a.test"}, {20, "mx2.a.test"}};
    world.hand.advance(302s);
    world.add("192.0.2.2", "exchange-2007");
    const auto second = world.run(mail_for("a.test"));
    CHECK(second.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(second.verdicts(0).relay().starts_with("mx1.a.test"));
    CHECK(second.shaping().passed());
    CHECK(second.shaping().set() == first.shaping().set());
    const auto third = world.run(mail_for("a.test"));
    CHECK(third.verdicts(0).relay().starts_with("mx2.a.test"));
    CHECK(!third.shaping().passed());
}

TEST_CASE("a 450 that is no greylisting goes on to the next host, and knows no time")
{
    Shaped world("defers-at-rcpt", shipped());
    world.add("192.0.2.3", "exchange-2007");
    world.names.mx_of["a.test"] = {{10, "mx1.a.test"}, {20, "mx2.a.test"}};
    world.names.addresses_of["mx1.a.test"] = {"192.0.2.2"};
    world.names.addresses_of["mx2.a.test"] = {"192.0.2.3"};
    const auto first = world.run(mail_for("a.test"));
    CHECK(first.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(first.verdicts(0).relay().starts_with("mx2.a.test"));
}

TEST_CASE("a first MX that lets connections time out: the next mail goes to the second one first; after ten minutes the first is tried again")
{
    for (const bool fallback : {false, true}) {
        Shaped world("exchange-2007");
        world.names.mx_of["a.test"] = {{10, "mx1.a.test"}, {20, "mx2.a.test"}};
        world.names.addresses_of["mx1.a.test"] = {"192.0.2.9"};
        world.names.addresses_of["mx2.a.test"] = {"192.0.2.2"};
        world.never_answers = "192.0.2.9";
        world.in_turn = true;
        world.options.keep_sessions = false;
        if (fallback)
            world.options.fallback_relays = {"[192.0.2.8]"};
        world.players["192.0.2.2"] = [&world](std::unique_ptr<net::Stream> stream) {
            if (world.peer().sessions().size() == 1)                // the second mail's
                world.hand.advance(601s);
            return world.peer().play(std::move(stream));
        };
        for (const auto& verdicts : world.run({mail_for("a.test"), mail_for("a.test"), mail_for("a.test"), mail_for("a.test")}))
            CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
        // Where there is a fallback relay, the order stays: it never comes before a host of the destination.
        CHECK(world.connects == (fallback ? 8 : 6));
    }
}

namespace {

/// Turns the clock once the peer has a session.
awaitable<void> turn_when_met(Shaped* world, std::chrono::seconds by, bool another_fails = false)
{
    while (world->connects == 0)
        co_await sleep_for(5ms);
    co_await sleep_for(100ms);
    world->hand.advance(by);
    if (another_fails)
        world->book.connected("smtp:[192.0.2.2]", false);
}

}  // namespace

TEST_CASE("a group without an answer: after ten seconds a second session says it otherwise, within the attempt, and the mail goes once")
{
    Shaped world("hangs-at-grouped-data");
    asio::co_spawn(world.loop, turn_when_met(&world, 11s), asio::detached);
    const auto verdicts = world.run(request({"one@example.test", "two@example.test"}));
    REQUIRE(verdicts.verdicts_size() == 2);
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(verdicts.verdicts(1).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(world.connects == 2);
    CHECK(world.peer().contents().size() == 1);
    CHECK(world.logged("gives no answer to a group of commands; a second session says it otherwise"));
}

TEST_CASE("a group without an answer, but not yet ten seconds, or ten times what this peer is used to need: one session")
{
    Shaped world("hangs-at-grouped-data");
    world.options.timeouts.mail = world.options.timeouts.rcpt = world.options.timeouts.data_init = seconds(2);
    asio::co_spawn(world.loop, turn_when_met(&world, 9s), asio::detached);
    CHECK(world.run(request({"one@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);   // by the replay after the timeout
    CHECK(!world.logged("a second session says it otherwise"));
}

TEST_CASE("the first session answers while the second is still begun: it keeps the mail, which goes once")
{
    Shaped world("reads group\nlike data-only\non MAIL FROM:* [grouped]\n  wait 2500ms\n  S 250 2.1.0 at last\n  state mail\n");
    world.players["192.0.2.2"] = [&world](std::unique_ptr<net::Stream> stream) -> awaitable<void> {
        if (world.connects == 1)
            return world.peers.at("192.0.2.2")->play(std::move(stream));
        return world.refused.peer.play(std::move(stream));
    };
    world.options.chunking = false;
    asio::co_spawn(world.loop, turn_when_met(&world, 11s), asio::detached);
    const auto verdicts = world.run(request({"one@example.test"}));
    CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(world.connects == 2);
    CHECK(world.peer().contents().size() == 1);
    CHECK(!world.logged("a second session says it otherwise"));
}

TEST_CASE("no second session while plain connections to the site fail")
{
    Shaped world("hangs-at-grouped-data");
    world.options.timeouts.mail = world.options.timeouts.rcpt = world.options.timeouts.data_init = seconds(2);
    asio::co_spawn(world.loop, turn_when_met(&world, 11s, true), asio::detached);
    CHECK(world.run(request({"one@example.test"})).verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(world.connects == 1);
}
