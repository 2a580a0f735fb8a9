// Requests given ahead: they wait for a session that is there, and go back untried where none is, or less is wanted.
#include "peers/book.hpp"
#include "peers/params.hpp"
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

/// So many mails for one session: the first has it, the others were given ahead.
std::vector<handoff::DeliveryRequest> mails(int count, std::string next_hop = "[192.0.2.2]")
{
    std::vector<handoff::DeliveryRequest> made;
    for (int i = 0; i < count; ++i) {
        made.push_back(request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", next_hop));
        made.back().set_attempt(static_cast<std::uint64_t>(i) + 1);
        made.back().set_connections(1);
        made.back().set_ahead(i > 0);
    }
    return made;
}

std::ptrdiff_t untried(const std::vector<handoff::Verdicts>& all)
{
    return std::ranges::count_if(all, [](const handoff::Verdicts& verdicts) {
        if (verdicts.untried())
            CHECK(verdicts.verdicts().empty());
        return verdicts.untried();
    });
}

std::size_t lines_with(const World& world, std::string_view text)
{
    return static_cast<std::size_t>(std::ranges::count_if(world.log->lines, [&](const std::string& line) { return line.find(text) != line.npos; }));
}

}  // namespace

TEST_CASE("requests ahead: one session has them all, a round trip each, and none waits for a connection")
{
    World world("data-only");
    const auto all = world.run(mails(10));
    CHECK(untried(all) == 0);
    for (const auto& verdicts : all) {
        REQUIRE(verdicts.verdicts_size() == 1);
        CHECK(verdicts.verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    }
    CHECK(world.connects == 1);
    CHECK(world.peer().contents().size() == 10);
    CHECK(world.agent->counts().round_trips == 2 + 1 + 10);    // greeting and EHLO; the first envelope; each content with the envelope behind it
}

TEST_CASE("requests ahead: where no session can be had they go back at once, with no word about their recipients; the site was tried once")
{
    World world;                                               // nobody there
    world.takes_a_turn = true;
    const auto all = world.run(mails(10));
    CHECK(untried(all) == 9);
    CHECK(!all[0].untried());
    CHECK(all[0].site_failed());
    CHECK(all[0].verdicts(0).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(world.connects == 1);
    CHECK(lines_with(world, "status=deferred") == 1);
    for (std::size_t i = 1; i < all.size(); ++i)
        CHECK(all[i].attempt() == i + 1);
    // Without the word they are the site's own, and hear what is wrong with it.
    World before;
    before.takes_a_turn = true;
    auto mine = mails(3);
    for (auto& one : mine)
        one.set_ahead(false);
    const auto told = before.run(std::move(mine));
    CHECK(untried(told) == 0);
    CHECK(lines_with(before, "status=deferred") == 3);
}

TEST_CASE("requests ahead: a peer that asks for silence gets no more of them")
{
    World world("slow-down");
    world.takes_a_turn = true;
    SystemClock clock;
    std::vector<std::string> troubles;
    peers::Book book(clock, {}, peers::load_rules("shipped", troubles));
    world.knowledge = &book;
    const auto all = world.run(mails(10));
    std::ptrdiff_t told = 0;
    for (const auto& verdicts : all)
        told += verdicts.shaping().suspend() != 0;
    CHECK(told == 1);
    CHECK(untried(all) == 9);
}

TEST_CASE("requests ahead: what the queue calls back comes untried, but not what a session has; an unknown one is nothing")
{
    World world("data-only");
    world.takes_a_turn = true;
    world.spoil = [&](net::MemoryOptions&) {                            // while the first connects
        for (const std::uint64_t attempt : {1U, 2U, 5U, 99U})
            world.agent->call_back(attempt);
    };
    const auto all = world.run(mails(6));
    CHECK(untried(all) == 2);
    CHECK(all[1].untried());
    CHECK(all[4].untried());
    CHECK(all[0].verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(world.peer().contents().size() == 4);
    CHECK(world.connects == 1);
}

TEST_CASE("requests ahead: a process that is about to end gives them back, and finishes what a session has")
{
    World world("data-only");
    world.takes_a_turn = true;
    world.spoil = [&](net::MemoryOptions&) { world.agent->give_back(); };      // while the first connects
    const auto all = world.run(mails(10));
    CHECK(untried(all) == 9);
    CHECK(all[0].verdicts(0).outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(world.peer().contents().size() == 1);
}
