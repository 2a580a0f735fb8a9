// Whatever a server does: one verdict per recipient, bounded time, and no bounce but by a whole 5yz it said.
#include "peers/book.hpp"
#include "send/any_server_test.hpp"
#include "send/world_test.hpp"
#include "sim/random_peer.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <random>

using namespace posthorn;
using namespace posthorn::send;

TEST_CASE("a server that does anything: exactly one verdict per recipient, and a bounce only where a whole 5yz was said")
{
    const char* const wish = std::getenv("POSTHORN_RANDOM_SEEDS");
    const unsigned seeds = wish ? static_cast<unsigned>(std::atoi(wish)) : 80;
    unsigned arrived = 0, deferred = 0, bounced = 0;
    for (unsigned seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        World world;
        world.options.timeouts.helo = world.options.timeouts.mail = world.options.timeouts.rcpt = world.options.timeouts.data_init =
            world.options.timeouts.data_xfer = world.options.timeouts.data_done = world.options.timeouts.rset = world.options.timeouts.quit =
                seconds(1);
        world.memory.capacity = seed % 3 == 0 ? 600 : 1 << 20;
        world.memory.keep_segments = seed % 2 == 0;
        peers::Book book(world.clock, {.learning = seed % 2 == 0 ? peers::Learning::yes : peers::Learning::no});
        world.knowledge = &book;
        world.options.quit_in_group = seed % 7 == 6;
        sim::RandomPeer peer(seed, seed % 4 == 0 ? 40 : 10);
        world.players["192.0.2.2"] = [&peer](std::unique_ptr<net::Stream> stream) { return peer.play(std::move(stream)); };
        std::vector<handoff::DeliveryRequest> requests;
        for (unsigned i = 0; i < 1 + seed % 4; ++i) {
            requests.push_back(seed % 5 == 4 ? probe({"a@example.test", "b@example.test"})
                                             : request({"a@example.test", "b@example.test", "c@example.test"}));
            requests.back().set_connections(1 + seed % 2);
        }
        const auto begun = std::chrono::steady_clock::now();
        const auto all = world.run(std::move(requests));
        CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(60));
        bool any_bounce = false;
        for (const auto& verdicts : all) {
            REQUIRE(verdicts.verdicts_size() == (seed % 5 == 4 ? 2 : 3));
            for (const auto& verdict : verdicts.verdicts()) {
                CHECK(!verdict.status().empty());
                CHECK(!verdict.text().empty());
                switch (verdict.outcome()) {
                case handoff::OUTCOME_DELIVERED: ++arrived; break;
                case handoff::OUTCOME_DEFERRED: ++deferred; break;
                default:
                    ++bounced;
                    any_bounce = true;
                    CHECK_MESSAGE(verdict.diagnostic().starts_with('5'), verdict.text());
                    CHECK(std::ranges::find(peer.refusals(), verdict.diagnostic()) != peer.refusals().end());
                }
            }
        }
        if (any_bounce)
            CHECK(!peer.refusals().empty());
    }
    // The test has seen all three, or it has not looked.
    CHECK(arrived > 0);
    CHECK(deferred > 0);
    CHECK(bounced > 0);
    MESSAGE("delivered ", arrived, ", deferred ", deferred, ", bounced ", bounced);
}

TEST_CASE("a server made of random octets, in every mode, with every quirk, at every pace: what must hold for whatever a peer does")
{
    const char* const wish = std::getenv("POSTHORN_ANY_SERVERS");
    const unsigned servers = wish ? static_cast<unsigned>(std::atoi(wish)) : 400;
    for (unsigned seed = 1; seed <= servers; ++seed) {
        std::mt19937 random(seed);
        std::string input;
        for (unsigned i = 0, size = 8 + random() % 60; i < size; ++i)
            input += static_cast<char>(i >= 8 && random() % 3 != 0 ? 0 : i >= 3 && i <= 5 && seed % 2 == 0 ? 0 : random() % 256);
        CAPTURE(seed);
        const auto broken = run_any_server(input);
        CHECK_MESSAGE(!broken, *broken);
    }
}
