// What a site asked for, on its way from a delivery process through the schedule to the next tries; on a hand-turned clock.
#include "services/queue_manager_test.hpp"

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;
using namespace std::chrono_literals;

namespace {

handoff::Verdict deferred(const char* text) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.7.0", text); }

/// How many requests went to this domain.
std::size_t asked(const Fixture& world, std::string_view domain)
{
    return static_cast<std::size_t>(std::ranges::count_if(world.worker.requests, [&](const handoff::DeliveryRequest& request) {
        return request.envelope().recipients(0).address().ends_with(domain);
    }));
}

}  // namespace

TEST_CASE("a site that wants silence gets it: nothing is tried before, mail that comes meanwhile waits and says why, then it goes; others go on")
{
    Fixture world;
    bool silent = true;
    world.worker.verdict_for = [&](const std::string& address) {
        return silent && address.ends_with("@big.test") ? deferred("host mx.big.test[192.0.2.1] said: 421 4.7.0 [TSS04]") : TestWorker::delivered();
    };
    world.worker.amend = [&](const std::string& address, handoff::Verdicts& reply) {
        if (!address.ends_with("@big.test"))
            return;
        reply.mutable_shaping()->set_set("mx.big.test");
        if (silent) {
            reply.mutable_shaping()->set_suspend(7200);
            reply.mutable_shaping()->set_said("host mx.big.test[192.0.2.1] said: 421 4.7.0 [TSS04]");
        }
    };
    world.enqueue({"a@big.test"});
    world.settle();
    CHECK(asked(world, "big.test") == 1);
    CHECK(world.logged("site mx.big.test: nothing is sent until 2026-01-01 02:00 UTC, then one delivery at a time: host mx.big.test[192.0.2.1] said: "
                       "421 4.7.0 [TSS04]"));
    world.enqueue({"b@big.test"});
    world.enqueue({"c@other.test"});
    world.settle();
    CHECK(asked(world, "big.test") == 1);
    CHECK(world.worker.delivered_to.contains("c@other.test"));
    CHECK(world.logged("status=deferred (delivery temporarily suspended: host mx.big.test[192.0.2.1] said: 421 4.7.0 [TSS04])"));
    const std::size_t lines = world.sink->lines.size();
    for (int minute = 0; minute < 110; minute += 10)
        world.pass(600s);
    CHECK(asked(world, "big.test") == 1);
    CHECK(world.sink->lines.size() == lines);                       // its time is known: nothing looks at it before
    silent = false;
    for (int minute = 0; minute < 30; ++minute)
        world.pass(60s);
    CHECK(world.worker.delivered_to == std::multiset<std::string>{"a@big.test", "b@big.test", "c@other.test"});
    CHECK(world.in_queue() == 0);
    CHECK(world.resolver.reports.empty());                          // nobody got a bounce
}

TEST_CASE("two domains on the same hosts share what those asked for, a third on others does not")
{
    Fixture world;
    world.worker.slow = [](const std::string& address) { return address.ends_with("1.test") || address.ends_with("2.test"); };
    world.worker.amend = [](const std::string& address, handoff::Verdicts& reply) {
        reply.mutable_shaping()->set_set(address.ends_with("3.test") ? "mx.small.test" : "mx.big.test");
        if (address == "first@one1.test")
            reply.mutable_shaping()->set_refused_at(2);
    };
    for (int i = 0; i < 2; ++i)
        world.enqueue({"w" + std::to_string(i) + "@two2.test"});
    world.enqueue({"first@one1.test"});
    world.settle();
    world.worker.answer_slow();
    world.settle();
    CHECK(world.logged("site mx.big.test: at most 2 deliveries at once"));
    const std::size_t before = world.worker.requests.size();
    for (int i = 0; i < 6; ++i) {
        world.enqueue({"m" + std::to_string(i) + "@one1.test"});
        world.enqueue({"m" + std::to_string(i) + "@two2.test"});
        world.enqueue({"m" + std::to_string(i) + "@three3.test"});
    }
    world.settle();
    CHECK(asked(world, "three3.test") == 6);
    CHECK(world.worker.requests.size() == before + 6 + 2);          // two at once, for both domains together
    for (std::size_t i = before; i < world.worker.requests.size(); ++i)
        CHECK(world.worker.requests[i].set_connections() == (world.worker.requests[i].route().site() == "smtp:three3.test" ? 0 : 2));
    for (int i = 0; i < 12; ++i) {
        world.worker.answer_slow();
        world.settle();
    }
    CHECK(world.in_queue() == 0);
}

TEST_CASE("a deferral whose end is known is tried again then, before the general back-off and not before its time")
{
    Fixture world;
    bool early = true;
    world.worker.verdict_for = [&](const std::string&) {
        if (!early)
            return TestWorker::delivered();
        handoff::Verdict verdict = deferred("host mx.grey.test[192.0.2.1] said: 450 4.2.0 Greylisted, try again in 60 seconds");
        verdict.set_retry_at((world.clock.wall() + 62s).time_since_epoch().count());
        return verdict;
    };
    world.enqueue({"a@grey.test"});
    world.settle();
    world.pass(60s);
    CHECK(world.worker.requests.size() == 1);
    early = false;
    world.pass(3s);
    CHECK(world.worker.requests.size() == 2);
    CHECK(world.in_queue() == 0);
}

TEST_CASE("when greylisting lets the first mail through, what waits for the same hosts follows at once, and nothing else")
{
    Fixture world;
    bool passes = false;
    world.worker.verdict_for = [&](const std::string& address) {
        if (passes && address.ends_with("@grey.test"))
            return TestWorker::delivered();
        handoff::Verdict verdict = deferred("450 later");
        if (address.ends_with("@grey.test"))
            verdict.set_retry_at((world.clock.wall() + (address == "a@grey.test" ? 300s : 3000s)).time_since_epoch().count());
        return verdict;
    };
    world.worker.amend = [&](const std::string& address, handoff::Verdicts& reply) {
        reply.mutable_shaping()->set_set(address.substr(address.find('@') + 1));
        reply.mutable_shaping()->set_passed(passes && address == "a@grey.test");
    };
    for (const char* who : {"a@grey.test", "b@grey.test", "c@grey.test", "d@else.test"})
        world.enqueue({who});
    world.settle();
    CHECK(world.worker.requests.size() == 4);
    passes = true;
    world.clock.advance(2s);
    world.pass(299s);
    CHECK(world.logged("site grey.test: greylisting has let a message through; 2 more that wait for it follow now"));
    CHECK(world.worker.delivered_to == std::multiset<std::string>{"a@grey.test", "b@grey.test", "c@grey.test"});
    CHECK(asked(world, "else.test") == 2);                          // its own back-off, no more
}

TEST_CASE("what a set asked for outlives the queue manager, and an operator can have it forgotten")
{
    Fixture world;
    std::map<std::string, std::optional<peers::Restraint>> kept;
    const auto listen = [&] {
        world.queue->on_restraint = [&](const std::string& set, const std::optional<peers::Restraint>& said) { kept[set] = said; };
    };
    listen();
    bool silent = true;
    world.worker.verdict_for = [&](const std::string&) { return silent ? deferred("421 4.7.0 [TSS04]") : TestWorker::delivered(); };
    world.worker.amend = [&](const std::string&, handoff::Verdicts& reply) {
        reply.mutable_shaping()->set_set("mx.big.test");
        reply.mutable_shaping()->set_suspend(silent ? 7200 : 0);
        reply.mutable_shaping()->set_said("421 4.7.0 [TSS04]");
    };
    world.enqueue({"a@big.test"});
    world.settle();
    REQUIRE(kept["mx.big.test"]);
    CHECK(kept["mx.big.test"]->silent_until == world.clock.wall() + 7200s);
    CHECK(kept["mx.big.test"]->sites == std::vector<std::string>{"smtp:big.test"});

    world.stop();
    world.clock.advance(60s);
    world.start();
    listen();
    world.queue->restore("mx.big.test", *kept["mx.big.test"]);
    silent = false;
    world.enqueue({"b@big.test"});
    world.settle();
    CHECK(asked(world, "big.test") == 1);                           // nothing was tried
    CHECK(world.logged("status=deferred (delivery temporarily suspended: 421 4.7.0 [TSS04])"));
    world.queue->lift({"mx.none.test", "mx.big.test"}, false);
    CHECK(world.logged("site mx.big.test: an operator had forgotten what it asked for"));
    CHECK(!world.logged("site mx.none.test"));
    CHECK(kept["mx.big.test"] == std::nullopt);
    world.enqueue({"c@big.test"});
    world.settle();
    CHECK(world.worker.delivered_to == std::multiset<std::string>{"c@big.test"});
}
