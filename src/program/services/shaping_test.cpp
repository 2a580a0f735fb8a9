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

namespace {

/// Mail to pool.test goes by a pool of three; what one of them is told, its site asks of that one alone.
struct Pooled : Fixture {
    Pooled()
    {
        QueueOptions with = options;
        with.pools = *route::Pools::parse(config::parse_list("{ smtp, out1, out2, out3 }"));
        options = with;
        queue->reconfigure(with);
        worker.amend = [this](const std::string& address, handoff::Verdicts& reply) {
            const std::string transport = transport_of(address);
            reply.mutable_shaping()->set_set("mx.pool.test from " + transport);
            if (transport == throttled) {
                reply.mutable_shaping()->set_suspend(7200);
                reply.mutable_shaping()->set_said("host mx.pool.test[192.0.2.1] said: 421 4.7.0 too much from " + transport);
            }
        };
        worker.verdict_for = [this](const std::string& address) {
            return transport_of(address) == throttled ? deferred("host mx.pool.test[192.0.2.1] said: 421 4.7.0 too much") : TestWorker::delivered();
        };
    }
    /// Of the last request for it.
    std::string transport_of(const std::string& address) const
    {
        const auto last = std::find_if(worker.requests.rbegin(), worker.requests.rend(), [&](const handoff::DeliveryRequest& request) {
            return request.envelope().recipients(0).address() == address;
        });
        return last == worker.requests.rend() ? "" : last->route().transport();
    }
    std::map<std::string, int> by_transport(std::size_t from = 0) const
    {
        std::map<std::string, int> counted;
        for (std::size_t at = from; at < worker.requests.size(); ++at) {
            const handoff::Route& route = worker.requests[at].route();
            CHECK(route.site() == route.transport() + ":pool.test");
            ++counted[route.transport()];
        }
        return counted;
    }
    std::string throttled;
};

}  // namespace

TEST_CASE_FIXTURE(Pooled, "a pool shares mail among its transports; what one of them is told by a site holds back that one, and others have its mail")
{
    for (int i = 0; i < 60; ++i)
        enqueue({fmt::format("u{}@pool.test", i)});
    settle();
    CHECK(by_transport().size() == 3);
    CHECK(in_queue() == 0);

    // Those that were under way when it is told to be silent are tried again after the general back-off, by another.
    throttled = "out2";
    std::size_t before = worker.requests.size();
    for (int i = 0; i < 60; ++i)
        enqueue({fmt::format("v{}@pool.test", i)});
    settle();
    const int refused = by_transport(before)["out2"];
    CHECK(refused >= 1);
    CHECK(refused < 60);
    CHECK(logged("site mx.pool.test from out2: nothing is sent until"));
    before = worker.requests.size();
    for (int i = 0; i < 60; ++i)
        enqueue({fmt::format("w{}@pool.test", i)});
    settle();
    CHECK(by_transport(before).size() == 2);                        // new mail does not go there
    CHECK(by_transport(before)["out2"] == 0);
    before = worker.requests.size();
    for (int minute = 0; minute < 10; ++minute)
        pass(60s);
    CHECK(by_transport(before)["out2"] == 0);
    CHECK(in_queue() == 0);                                         // long before the two hours are over
    CHECK(resolver.reports.empty());
    CHECK(worker.delivered_to.size() == 180);
}

TEST_CASE_FIXTURE(Pooled, "what waits for a transport that is told to be silent goes by another of its pool at once, each recipient once")
{
    options.scheduler.transport = [](std::string_view) {
        return schedule::TransportOptions{.window = {.initial = 1, .limit = 1, .positive = {}, .negative = {}}, .recipient_limit = 50};
    };
    queue->reconfigure(options);
    throttled = "out1";
    worker.slow = [](const std::string&) { return true; };
    std::multiset<std::string> all;
    for (int i = 0; i < 40; ++i) {
        all.insert(fmt::format("u{}@pool.test", i));
        enqueue({fmt::format("u{}@pool.test", i)});
    }
    settle();
    CHECK(worker.requests.size() == 3);                             // one each, the others wait for their turn
    worker.slow = [](const std::string&) { return false; };
    worker.answer_slow();
    settle();
    CHECK(by_transport()["out1"] == 1);
    CHECK(logged("takes it to pool.test: host mx.pool.test[192.0.2.1] said: 421 4.7.0 too much from out1"));
    CHECK(worker.delivered_to.size() == 39);
    for (int minute = 0; minute < 10; ++minute)
        pass(60s);
    CHECK(worker.delivered_to == all);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Pooled, "where all of a pool are told to be silent its mail waits for that; defer_transports takes a member out, or the pool")
{
    options.defer_transports = {"out1", "out3"};
    queue->reconfigure(options);
    for (int i = 0; i < 20; ++i)
        enqueue({fmt::format("u{}@pool.test", i)});
    settle();
    CHECK(by_transport() == std::map<std::string, int>{{"out2", 20}});
    options.defer_transports = {"smtp"};
    queue->reconfigure(options);
    enqueue({"late@pool.test"});
    settle();
    CHECK(worker.requests.size() == 20);
    CHECK(logged("status=deferred (deferred transport)"));

    options.defer_transports = {"out1", "out3"};
    queue->reconfigure(options);
    throttled = "out2";
    enqueue({"a@pool.test"});
    settle();
    const std::size_t tried = worker.requests.size();
    for (int minute = 0; minute < 110; minute += 10)
        pass(600s);
    CHECK(worker.requests.size() == tried);                         // the only one that is left wants two hours
    CHECK(in_queue() == 2);
}

TEST_CASE_FIXTURE(Pooled,
                  "mail of a pool goes by another member where an operator suspends one, also what waited for its turn; the pool's name suspends all")
{
    options.scheduler.transport = [](std::string_view) {
        return schedule::TransportOptions{.window = {.initial = 1, .limit = 1, .positive = {}, .negative = {}}};
    };
    queue->reconfigure(options);
    worker.slow = [](const std::string&) { return true; };
    for (int i = 0; i < 30; ++i)
        enqueue({fmt::format("u{}@pool.test", i)});
    settle();
    CHECK(worker.requests.size() == 3);                             // one each
    const auto order = [&](handoff::QueueCommand::Verb verb, const char* destination) {
        handoff::QueueCommand asked;
        asked.set_verb(verb);
        asked.mutable_order()->set_destination(destination);
        REQUIRE(wait(queue->command(asked)));
        settle();
    };
    order(handoff::QueueCommand::ORDER, "out1:");
    order(handoff::QueueCommand::ORDER, "out2:pool.test");
    worker.slow = [](const std::string&) { return false; };
    worker.answer_slow();
    settle();
    CHECK(by_transport() == std::map<std::string, int>{{"out1", 1}, {"out2", 1}, {"out3", 28}});
    CHECK(in_queue() == 0);
    CHECK_FALSE(logged("suspended by an operator)"));
    handoff::QueueCommand why;
    why.set_verb(handoff::QueueCommand::EXPLAIN);
    why.set_argument("pool.test");
    CHECK(wait(queue->command(why))->explanation().orders_size() == 2);
    order(handoff::QueueCommand::ORDER, "smtp:");
    enqueue({"late@pool.test"});
    settle();
    CHECK(logged("status=deferred (deliveries by smtp suspended by an operator)"));
    order(handoff::QueueCommand::END_ORDER, "smtp:");
    CHECK(by_transport()["out3"] == 29);
    order(handoff::QueueCommand::ORDER, "out3:");
    enqueue({"later@pool.test"});
    settle();
    CHECK(in_queue() == 1);
    order(handoff::QueueCommand::END_ORDER, "out1:");               // what out3's order holds up is not its own to let go
    order(handoff::QueueCommand::END_ORDER, "");
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Pooled, "mail beyond what a site takes from one of a pool now goes by another that has room")
{
    options.scheduler.transport = [](std::string_view) {
        return schedule::TransportOptions{.window = {.initial = 50, .limit = 50, .positive = {}, .negative = {}}};
    };
    queue->reconfigure(options);
    worker.slow = [](const std::string&) { return true; };
    worker.amend = [this](const std::string& address, handoff::Verdicts& reply) {
        reply.mutable_shaping()->set_set("mx.pool.test from " + transport_of(address));
        if (transport_of(address) == "out1")
            reply.mutable_shaping()->set_sessions(1);                // a rule's, for this source alone
    };
    for (int i = 0; i < 30; ++i)
        enqueue({fmt::format("u{}@pool.test", i)});
    settle();
    CHECK(by_transport()["out1"] > 1);                               // nothing was known yet
    worker.answer_slow();
    settle();
    const std::size_t before = worker.requests.size();
    for (int i = 0; i < 30; ++i)
        enqueue({fmt::format("v{}@pool.test", i)});
    settle();
    CHECK(worker.requests.size() == before + 30);                    // none waits
    CHECK(by_transport(before)["out1"] == 1);
    worker.answer_slow();
    settle();
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Pooled, "mail waits for one of a pool that has no room now rather than for one that is told to be silent")
{
    options.scheduler.transport = [](std::string_view) {
        return schedule::TransportOptions{.window = {.initial = 50, .limit = 50, .positive = {}, .negative = {}}};
    };
    queue->reconfigure(options);
    worker.slow = [](const std::string&) { return true; };
    throttled = "out2";
    const auto silent = worker.amend;
    worker.amend = [&, silent](const std::string& address, handoff::Verdicts& reply) {
        silent(address, reply);
        if (transport_of(address) != throttled)
            reply.mutable_shaping()->set_sessions(1);
    };
    const auto send = [&](int mails, char name) {
        for (int i = 0; i < mails; ++i)
            enqueue({fmt::format("{}{}@pool.test", name, i)});
        settle();
    };
    send(30, 'u');
    worker.answer_slow();
    settle();
    const std::size_t before = worker.requests.size();
    send(20, 'v');
    CHECK(worker.requests.size() == before + 2);                     // one each of those that have room for one
    for (int turn = 0; turn < 20; ++turn) {
        worker.answer_slow();
        settle();
    }
    CHECK(by_transport(before)["out2"] == 0);
    CHECK(std::ranges::count_if(worker.delivered_to, [](const std::string& address) { return address.starts_with('v'); }) == 20);
}
