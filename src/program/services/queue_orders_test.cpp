#include "services/probes.hpp"
#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;
using handoff::Order;

namespace {

/// A queue whose orders are kept beyond its end.
struct Ordered : Fixture {
    Ordered()
    {
        stop();
        prepare = [this](QueueManager& made) {
            strange = made.restore_orders(kept);
            made.keep_orders = [this](handoff::StoredOrders orders) { return keep(std::move(orders)); };
        };
        options.scheduler.transport = [this](std::string_view) { return transport; };
        start();
    }
    awaitable<Result<void>> keep(handoff::StoredOrders orders)
    {
        if (!trouble.empty())
            co_return Error{trouble, "4.3.1"};
        kept = std::move(orders);
        co_return Result<void>{};
    }
    Result<handoff::QueueReply> ask(handoff::QueueCommand::Verb verb, Order order = {})
    {
        handoff::QueueCommand asked;
        asked.set_verb(verb);
        *asked.mutable_order() = std::move(order);
        auto reply = wait(queue->command(asked));
        settle();
        return reply;
    }
    Result<handoff::QueueReply> give(Order::Kind kind, const std::string& destination, std::chrono::seconds lasts = 1h,
                                     const std::string& sender = "")
    {
        Order order;
        order.set_kind(kind);
        order.set_destination(destination);
        order.set_sender(sender);
        order.set_lasts(std::chrono::microseconds(lasts).count());
        order.set_by("root");
        order.set_reason("moving house");
        return ask(handoff::QueueCommand::ORDER, order);
    }
    void suspend(const std::string& destination, std::chrono::seconds lasts = 0s, const std::string& sender = "")
    {
        REQUIRE(give(Order::SUSPEND, destination, lasts, sender));
    }
    void bounce(const std::string& destination, const std::string& sender = "") { REQUIRE(give(Order::BOUNCE, destination, 1h, sender)); }
    std::string next_id() { return handoff::short_queue_id(clock.wall(), next_sequence++); }
    int resume(const std::string& destination = "")
    {
        Order named;
        named.set_destination(destination);
        named.set_by("root");
        const auto reply = ask(handoff::QueueCommand::END_ORDER, named);
        REQUIRE(reply);
        return reply->orders_size();
    }
    Order the_order()
    {
        const auto reply = ask(handoff::QueueCommand::ORDERS);
        REQUIRE(reply);
        REQUIRE(reply->orders_size() == 1);
        return reply->orders(0);
    }
    handoff::Explanation why(const std::string& id)
    {
        auto reply = command(handoff::QueueCommand::EXPLAIN, id);
        return std::move(*reply.mutable_explanation());
    }
    /// A reason of each recipient that is in the queue.
    std::multiset<std::string> reasons()
    {
        std::multiset<std::string> all;
        const auto page = wait(nodes.node(0).list(0, 10'000));
        REQUIRE(page);
        for (const auto& message : page->entries)
            for (const auto& recipient : message.recipients)
                all.insert(recipient.last ? recipient.last->text() : "");
        return all;
    }
    std::size_t lines(std::string_view text) const
    {
        return static_cast<std::size_t>(std::ranges::count_if(sink->lines, [&](const std::string& line) { return line.find(text) != line.npos; }));
    }
    /// Recipients that a report was about, with what it says of them.
    std::multiset<std::string> returned() const
    {
        std::multiset<std::string> all;
        for (const auto& report : resolver.reports)
            for (int at = 0; at < report.verdicts_size(); ++at)
                all.insert(
                    fmt::format("{} {} {}", report.envelope().recipients(at).address(), report.verdicts(at).status(), report.verdicts(at).text()));
        return all;
    }

    handoff::StoredOrders kept;
    std::size_t strange = 0;
    std::string trouble;
    schedule::TransportOptions transport;
};

constexpr const char* held_text = "deliveries to there.test suspended by an operator: moving house";
constexpr const char* returned_text = "5.7.1 mail to there.test is returned by order of an operator of this mail system: moving house";
const auto one_at_a_time = [] { return schedule::WindowOptions{.initial = 1, .limit = 1, .positive = {}, .negative = {}}; };

}  // namespace

TEST_CASE_FIXTURE(Ordered, "orders: mail for a suspended domain waits and says why, other mail goes; at its end what waited goes at once")
{
    suspend("There.test");
    enqueue({"u@there.test", "v@elsewhere.test"});
    const std::string id = enqueue({"w@there.test"});
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"v@elsewhere.test"});
    CHECK(reasons() == std::multiset<std::string>{held_text, held_text});
    CHECK(logged("to=<w@there.test>, relay=none, delay=0, delays=0/0/0/0, dsn=4.3.2, status=deferred (deliveries to there.test suspended"));
    CHECK(the_order().held_up() == 2);
    CHECK(lines("order of root, until an operator ends it: deliveries to there.test suspended by an operator: moving house") == 1);
    const auto said = why(id);
    REQUIRE(said.waiting_size() == 1);
    CHECK(said.waiting(0).wait() == static_cast<std::uint32_t>(handoff::Wait::order));
    CHECK(said.waiting(0).order().destination() == "there.test");
    CHECK(said.waiting(0).trouble() == held_text);

    pass(10h);                                                     // tried again and again
    handoff::QueueCommand flush;
    flush.set_verb(handoff::QueueCommand::FLUSH);
    REQUIRE(wait(queue->command(flush)));
    settle();
    CHECK(worker.delivered_to.size() == 1);
    CHECK(the_order().held_up() == 2);

    CHECK(resume("@there.test") == 1);
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test", "v@elsewhere.test", "w@there.test"});
    CHECK(in_queue() == 0);
    CHECK(lines("order of root is over, ended by root: deliveries to there.test suspended by an operator: moving house: 2 messages go now") == 1);
    CHECK(resume("there.test") == 0);
}

TEST_CASE_FIXTURE(Ordered, "orders: what waits for its turn is held up as well, what is under way ends as it does")
{
    transport.window = one_at_a_time();
    worker.slow = [](const std::string&) { return true; };
    stop();
    start();
    enqueue({"u@there.test"});
    settle();
    enqueue({"v@there.test", "x@elsewhere.test"});
    enqueue({"w@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 2);                          // u, x
    suspend("there.test");
    CHECK(the_order().held_up() == 2);
    worker.slow = [](const std::string&) { return false; };
    worker.answer_slow();
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test", "x@elsewhere.test"});
    CHECK(worker.requests.size() == 2);
    CHECK(in_queue() == 2);
    CHECK(resume("there.test") == 1);
    CHECK(worker.delivered_to.size() == 4);
    CHECK(worker.delivered_to.count("u@there.test") == 1);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Ordered, "orders: what a delivery process has not begun comes back, and waits")
{
    transport.window = one_at_a_time();
    transport.ahead = 4;
    worker.slow = [](const std::string&) { return true; };
    stop();
    start();
    for (const char* to : {"u@there.test", "v@there.test", "w@there.test"}) {
        enqueue({to});
        settle();
    }
    REQUIRE(worker.requests.size() == 3);
    CHECK(worker.requests[2].ahead());
    suspend("there.test");
    CHECK(the_order().held_up() == 2);
    worker.answer_slow();
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
    CHECK(worker.requests.size() == 3);
    worker.slow = [](const std::string&) { return false; };
    CHECK(resume() == 1);
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test", "v@there.test", "w@there.test"});
}

TEST_CASE_FIXTURE(Ordered,
                  "orders: a request that waits for a process of its transport is not given to it any more; of its recipients those go that may")
{
    stop();
    options.worker_patience = 10s;
    worker.absent = true;
    start();
    enqueue({"u@there.test", "v@there.test"});
    settle();
    suspend("u@there.test");
    CHECK(the_order().held_up() == 0);
    worker.absent = false;
    queue->wake();
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"v@there.test"});
    CHECK(worker.requests.size() == 1);
    CHECK(the_order().held_up() == 1);
    CHECK(queue->counts().attempts == 1);
    CHECK(resume() == 1);
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test", "v@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Ordered, "orders: suspended mail that is put on hold is held up by that alone")
{
    suspend("there.test");
    const std::string id = enqueue({"u@there.test"});
    settle();
    command(handoff::QueueCommand::HOLD, id);
    CHECK(the_order().held_up() == 0);
    CHECK(why(id).waiting(0).wait() == static_cast<std::uint32_t>(handoff::Wait::hold));
    CHECK(resume() == 1);
    CHECK(worker.requests.empty());
    suspend("there.test");
    command(handoff::QueueCommand::RELEASE, id);
    settle();
    CHECK(the_order().held_up() == 1);
    CHECK(resume() == 1);
    CHECK(worker.delivered_to.size() == 1);
}

TEST_CASE_FIXTURE(Ordered, "orders: an order ends with its time, and a clock that is set back takes that with it")
{
    suspend("there.test", 2h);
    enqueue({"u@there.test"});
    settle();
    clock.step_wall(-1h);
    pass(1h);
    CHECK(worker.delivered_to.empty());
    pass(59min);
    CHECK(worker.delivered_to.empty());
    pass(1min);
    settle();
    CHECK(worker.delivered_to.size() == 1);
    CHECK(kept.orders_size() == 0);
    CHECK(ask(handoff::QueueCommand::ORDERS)->orders_size() == 0);
    CHECK(lines("order of root is over, its time is over: deliveries to there.test suspended by an operator: moving house: 1 messages go now") == 1);
}

TEST_CASE_FIXTURE(Ordered, "orders: they are in force again after a restart, and what they held up goes at once when they end")
{
    suspend("there.test");
    suspend("far.test", 1h);
    enqueue({"u@there.test"});
    enqueue({"v@far.test"});
    settle();
    stop();
    start();
    settle();
    enqueue({"w@there.test"});
    settle();
    CHECK(worker.requests.empty());
    CHECK(resume("there.test") == 1);                              // long before the next try of u
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test", "w@there.test"});
    CHECK(the_order().held_up() == 1);
    stop();
    clock.advance(1h);                                             // its time is over while nobody looks
    start();
    settle();
    CHECK(worker.delivered_to.size() == 3);
    CHECK(kept.orders_size() == 0);
    CHECK(strange == 0);
    suspend("there.test");
    kept.mutable_orders(0)->set_kind(static_cast<Order::Kind>(7));   // of a program to come
    stop();
    start();
    CHECK(strange == 1);
}

TEST_CASE_FIXTURE(Ordered, "orders: one that cannot be kept is not in force, and one whose end cannot be kept stays")
{
    trouble = "orders are not kept: No space left on device";
    const auto refused = give(Order::SUSPEND, "there.test", 0s);
    REQUIRE(!refused);
    CHECK(refused.error().status() == "4.3.1");
    enqueue({"u@there.test"});
    settle();
    CHECK(worker.delivered_to.size() == 1);
    trouble.clear();
    suspend("there.test");
    trouble = "orders are not kept: Input/output error";
    Order named;
    named.set_destination("there.test");
    CHECK_FALSE(ask(handoff::QueueCommand::END_ORDER, named));
    enqueue({"v@there.test"});
    settle();
    CHECK(worker.delivered_to.size() == 1);
    trouble.clear();
    CHECK(resume("there.test") == 1);
    CHECK(worker.delivered_to.size() == 2);
    CHECK(give(Order::SUSPEND, "a b", 0s).error().status() == "5.5.4");
    CHECK(give(Order::BOUNCE, "a.test", 0s).error().text() == "what returns mail needs an end");
}

TEST_CASE_FIXTURE(Ordered, "orders: suspended mail goes back to its sender when its lifetime is over, as other mail")
{
    suspend("there.test");
    enqueue({"u@there.test"});
    settle();
    for (int day = 0; day < 6; ++day)
        pass(24h);
    CHECK(returned() == std::multiset<std::string>{fmt::format("u@there.test 4.3.2 {}", held_text)});
    CHECK(in_queue() == 0);
    CHECK(the_order().held_up() == 0);
}

TEST_CASE_FIXTURE(Ordered, "orders: a sender narrows one, and one of a narrower destination is an exception")
{
    suspend("*");
    suspend("there.test", 0s, "@ours.test");
    enqueue({"u@there.test"}, "a@ours.test");
    enqueue({"v@there.test"}, "a@theirs.test");
    settle();
    CHECK(worker.requests.empty());
    CHECK(resume("*") == 1);
    CHECK(worker.delivered_to == std::multiset<std::string>{"v@there.test"});
    enqueue({"w@there.test"}, "");
    settle();
    CHECK(worker.delivered_to.size() == 2);
    CHECK(resume() == 1);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Ordered,
                  "orders: a bounce returns what waits and what comes, each once, with the reason; mail on hold and other mail stay as they are")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    enqueue({"u@there.test"});
    enqueue({"v@there.test", "x@elsewhere.test"});
    enqueue({"y@elsewhere.test"});
    const std::string held = enqueue({"h@there.test"});
    settle();
    command(handoff::QueueCommand::HOLD, held);
    const std::size_t tried = worker.requests.size();
    bounce("there.test");
    enqueue({"w@there.test"});
    settle();
    CHECK(returned() == std::multiset<std::string>{fmt::format("u@there.test {}", returned_text), fmt::format("v@there.test {}", returned_text),
                                                   fmt::format("w@there.test {}", returned_text)});
    CHECK(resolver.reports.size() == 3);
    CHECK(worker.requests.size() == tried + 3);                    // the reports, to a@ours.test: nothing was tried before its time
    CHECK(the_order().returned() == 3);
    const auto deferred = wait(queue->sites({}));
    REQUIRE(deferred);
    const auto elsewhere = std::ranges::find(deferred->deferred(), "elsewhere.test", &handoff::DeferredGroup::destination);
    REQUIRE(elsewhere != deferred->deferred().end());
    CHECK(elsewhere->recipients() == 2);                           // still what the last try said
    CHECK(lines("to=<v@there.test>, relay=none, delay=0, delays=0/0/0/0, dsn=5.7.1, status=bounced (mail to there.test is returned") == 1);
    worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    pass(30min);
    CHECK(worker.delivered_to.count("x@elsewhere.test") == 1);
    CHECK(worker.delivered_to.count("y@elsewhere.test") == 1);
    CHECK(in_queue() == 1);
    pass(31min);
    CHECK(lines("order of root is over, its time is over: mail to there.test is returned by order of an operator of this mail system: moving house: "
                "mail of 3 recipients was returned") == 1);
    command(handoff::QueueCommand::RELEASE, held);
    settle();
    CHECK(worker.delivered_to.count("h@there.test") == 1);
    CHECK(resolver.reports.size() == 3);
}

TEST_CASE_FIXTURE(Ordered, "orders: mail under way when its destination is told to bounce ends as it does; deferred then, it is returned at once")
{
    transport.window = one_at_a_time();
    worker.slow = [](const std::string&) { return true; };
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("u") ? TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later") : TestWorker::delivered();
    };
    stop();
    start();
    enqueue({"u@there.test"});
    settle();
    enqueue({"w@there.test"});
    enqueue({"good@other.test"});
    settle();
    bounce("*");
    worker.slow = [](const std::string&) { return false; };
    worker.answer_slow();
    settle();
    CHECK(returned().size() == 2);
    CHECK(std::ranges::all_of(resolver.reports, [](const auto& report) { return report.verdicts(0).status() == "5.7.1"; }));
    CHECK(worker.delivered_to == std::multiset<std::string>{"a@ours.test", "a@ours.test", "good@other.test"});   // reports go
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Ordered, "orders: mail without a sender is returned, to nobody, only where it is named")
{
    bounce("there.test");
    enqueue({"u@there.test"}, "");
    settle();
    CHECK(worker.delivered_to.size() == 1);
    bounce("there.test", "<>");
    enqueue({"v@there.test"}, "");
    settle();
    CHECK(worker.delivered_to.size() == 1);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Ordered, "orders: a notice of ours is not returned to the address that stands in its envelope")
{
    bounce("there.test");
    handoff::EnqueueRequest request;
    auto& envelope = *request.mutable_envelope();
    envelope.set_queue_id(next_id());
    envelope.set_arrival(clock.wall().time_since_epoch().count());
    envelope.set_sender("double-bounce@ours.test");
    envelope.set_purpose(handoff::PURPOSE_NOTIFICATION);
    envelope.add_recipients()->set_address("postmaster@there.test");
    request.mutable_content()->set_inline_octets("Subject: x\r\n\r\nbody\r\n");
    envelope.set_size(20);
    REQUIRE(wait(queue->enqueue(request))->committed());
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"postmaster@there.test"});
}

TEST_CASE_FIXTURE(Ordered, "orders: what cannot be returned for now stays, and is returned later, once")
{
    resolver.report_fails = true;
    bounce("there.test");
    enqueue({"u@there.test"});
    settle();
    CHECK(in_queue() == 1);
    const std::size_t asked = resolver.reports.size();
    pass(1s);
    CHECK(resolver.reports.size() == asked);                       // not again and again
    resolver.report_fails = false;
    pass(10min);
    CHECK(resolver.reports.size() == asked + 1);
    CHECK(in_queue() == 0);
    CHECK(worker.delivered_to == std::multiset<std::string>{"a@ours.test"});
}

TEST_CASE_FIXTURE(Ordered, "orders: a suspended domain may be told to bounce: what waited is returned; and a bounce may be taken back")
{
    suspend("there.test");
    enqueue({"u@there.test"});
    settle();
    bounce("there.test");
    settle();
    CHECK(returned() == std::multiset<std::string>{fmt::format("u@there.test {}", returned_text)});
    suspend("there.test");
    enqueue({"v@there.test"});
    settle();
    CHECK(returned().size() == 1);
    CHECK(the_order().held_up() == 1);
    CHECK(resume() == 1);
    CHECK(worker.delivered_to.count("v@there.test") == 1);
}

TEST_CASE_FIXTURE(Ordered, "orders: a transport is named with a colon; mail for it is found in the queue by the way it goes")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    enqueue({"u@there.test"});
    enqueue({"v@far.test"});
    settle();
    bounce("smtp:far.test");
    settle();
    REQUIRE(returned().size() == 1);
    CHECK(*returned().begin() == "v@far.test 5.7.1 returned by order of an operator of this mail system: moving house");
    suspend("smtp:");
    worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    pass(10h);
    CHECK(reasons().count("deliveries by smtp suspended by an operator: moving house") >= 1);
    CHECK(worker.delivered_to.empty());
    stop();
    start();                                                       // which way it goes is not known before it is tried
    CHECK(resume("smtp:") == 1);
    CHECK(worker.delivered_to.count("u@there.test") == 1);
}

TEST_CASE_FIXTURE(Ordered, "orders: soft_bounce keeps what an order would return")
{
    options.soft_bounce = true;
    queue->reconfigure(options);
    bounce("there.test");
    enqueue({"u@there.test"});
    settle();
    CHECK(resolver.reports.empty());
    CHECK(in_queue() == 1);
    CHECK(the_order().returned() == 0);
}

TEST_CASE_FIXTURE(Ordered, "orders: returned by an order is recorded as what an operator did")
{
    options.records.types.set();
    observe::MemoryRecorder recorder;
    stop();
    start();
    queue->record_to(&recorder);
    suspend("later.test");
    bounce("there.test");
    enqueue({"u@there.test", "v@later.test"});
    settle();
    const auto recorded = [&](std::string_view type, std::string_view text) {
        return std::ranges::count_if(recorder.records,
                                     [&](const std::string& one) { return one.find(type) != one.npos && one.find(text) != one.npos; });
    };
    CHECK(recorded(R"("type":"AdminBounce")", "mail to there.test is returned by order of an operator") == 1);
    CHECK(recorded(R"("type":"Bounce")", "u@there.test") == 0);
    CHECK(recorded(R"("type":"TransientFailure")", "deliveries to later.test suspended by an operator: moving house") == 1);
    resume();
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "busy"); };
    enqueue({"x@other.test"});
    settle();
    bounce("smtp:far.test");                                       // that it is looked at is no attempt
    settle();
    pass(10min);
    CHECK(recorded("x@other.test", R"("num_attempts":1)") == 1);
    CHECK(recorded("x@other.test", R"("num_attempts":2)") == 0);
    stop();
}

TEST_CASE_FIXTURE(Ordered, "orders: why a domain gets nothing names those that are about it; numbers of them are counted")
{
    suspend(".test");
    bounce("u@there.test");
    handoff::QueueCommand asked;
    asked.set_verb(handoff::QueueCommand::EXPLAIN);
    asked.set_argument("there.test");
    const auto reply = wait(queue->command(asked));
    REQUIRE(reply);
    CHECK(reply->explanation().orders_size() == 2);
    handoff::CountersReply counters;
    queue->count(counters);
    const auto value = [&](std::string_view name) {
        const auto found = std::ranges::find(counters.counters(), name, &handoff::CountersReply::Counter::name);
        return found == counters.counters().end() ? -1 : found->value();
    };
    CHECK(value(R"(queue_orders{order="suspend"})") == 1);
    CHECK(value(R"(queue_orders{order="bounce"})") == 1);
}

TEST_CASE_FIXTURE(Ordered, "orders: an address of a suspended destination is not asked about, and nothing is said against it")
{
    Probes probes{loop.get_executor(),
                  resolver,
                  worker,
                  {.attempt = [this] { return queue->take_attempt(); },
                   .queue_id = [this] { return queue->next_queue_id(); },
                   .heard = {},
                   .silent = {},
                   .choose = {},
                   .ordered = [this](const handoff::Route& route, std::string_view address,
                                     std::string_view sender) { return queue->ordered(route, address, sender); }},
                  {.worker_patience = 0ms},
                  clock,
                  observe::Log(sink, "postfix/qmgr")};
    suspend("there.test");
    bounce("far.test");
    const auto asked = [&](const char* address) {
        handoff::ProbeRequest request;
        request.set_sender("double-bounce@mx.test");
        request.set_address(address);
        const auto reply = wait(probes.probe(request));
        REQUIRE(reply);
        return reply->verdict();
    };
    CHECK(asked("u@there.test").outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(asked("u@there.test").text() == held_text);
    CHECK(asked("u@far.test").outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(worker.requests.empty());
    CHECK(asked("u@other.test").outcome() == handoff::OUTCOME_DELIVERED);
    bool closed = false;
    asio::co_spawn(loop, probes.close(), [&](std::exception_ptr) { closed = true; });
    run_until([&] { return closed; });
}
