// Content whose segments are lost on the way, as the kernel tells it (net/path.hpp): noticed, tried in small ones, learned.
#include "send/world_test.hpp"

#include "peers/book.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;
using namespace std::chrono_literals;

namespace {

/// Segments larger than a small one do not arrive; the kernel repeats them. Whoever sends small ones is answered.
struct Way : World {
    Way()
    {
        leaps = &hand;
        turned = &hand;
        knowledge = &book;
        options.timeouts.data_done = 2min;
        settings.patience = 10min;
        book.on_event = [this](const peers::Event& event) { events.push_back(peers::text_of(event)); };
        path = [this](const net::Stream&) {
            const std::uint32_t segment = segments.back() == 0 ? 1448 : 1208;
            return std::optional(net::Path{.segment = segment, .unacknowledged = loses(segment) ? 3U : 0U, .repeated = loses(segment) ? 7U : 0U});
        };
    }
    bool loses(std::uint32_t segment) const { return segment > most; }
    handoff::Verdict deliver(std::size_t octets = 6000)
    {
        add("192.0.2.2", "like data-only\non DATA\n  S 354 go\n  content\n  silence\n");
        if (!loses(book.small_segments("192.0.2.2") ? 1208 : 1448) || octets < 1000)
            add("192.0.2.2", "data-only");
        return run(request({"user@example.test"}, "Subject: x\r\n\r\n" + std::string(octets, 'x') + "\r\n")).verdicts(0);
    }

    HandClock hand;
    peers::Book book{hand, {}};
    std::vector<std::string> events;
    std::uint32_t most = 1220;
};

}  // namespace

TEST_CASE("path: content that is repeated and never arrives ends the session; small segments are tried, and learned where they arrive")
{
    Way way;
    const auto verdict = way.deliver();
    CHECK(verdict.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(verdict.text() == "conversation with 192.0.2.2[192.0.2.2] timed out while sending end of data -- message may be sent more than once: "
                            "segments of 1448 octets are lost on the way");
    CHECK(verdict.retry_at() == (way.hand.wall() + 10s).time_since_epoch().count());
    CHECK(way.segments == std::vector{0});
    REQUIRE(way.peer().sessions().size() == 1);
    CHECK(way.peer().sessions().front().ended != "client closed");              // a reset: what waits to be sent must not arrive later
    REQUIRE(way.events.size() == 1);
    CHECK(way.events.front().find(
              "segments of 1448 octets never arrived, although they were repeated: they are lost on the way; segments are small there") !=
          std::string::npos);

    CHECK(way.deliver(100).outcome() == handoff::OUTCOME_DELIVERED);            // fits into one, and proves nothing
    CHECK(way.events.size() == 1);
    CHECK(way.deliver().outcome() == handoff::OUTCOME_DELIVERED);
    CHECK(way.segments == std::vector{0, 1220, 1220});
    REQUIRE(way.events.size() == 2);
    CHECK(way.events.back().find("small segments arrive, of 1448 octets none did") != std::string::npos);
}

TEST_CASE("path: where small segments are lost as well it is no matter of size, and waits out its time")
{
    Way way;
    way.most = 0;
    CHECK(way.deliver().outcome() == handoff::OUTCOME_DEFERRED);
    const auto second = way.deliver();
    CHECK(second.text() == "conversation with 192.0.2.2[192.0.2.2] timed out while sending end of data -- message may be sent more than once");
    CHECK(second.retry_at() == 0);
    CHECK_FALSE(way.book.small_segments("192.0.2.2"));
    CHECK(way.events.size() == 1);
    CHECK(way.segments == std::vector{0, 1220});
}

TEST_CASE("path: a peer that reads slowly, or not yet, is left in peace")
{
    Way way;
    way.most = 1448;
    for (const net::Path slow : {net::Path{.segment = 1448, .unacknowledged = 3, .repeated = 6}, net::Path{.segment = 1448, .repeated = 7},
                                 net::Path{.segment = 1448, .unacknowledged = 3, .repeated = 9, .closed_window = true}}) {
        way.path = [&](const net::Stream&) { return std::optional(slow); };
        way.add("192.0.2.2", "like data-only\non DATA\n  S 354 go\n  content\n  wait 90s\n  S 250 taken\n");
        CHECK(way.run(request({"user@example.test"}, "Subject: x\r\n\r\n" + std::string(6000, 'x') + "\r\n")).verdicts(0).outcome() ==
              handoff::OUTCOME_DELIVERED);
    }
    CHECK(way.events.empty());
}
