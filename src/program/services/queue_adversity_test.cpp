// The queue manager at bad moments: verdicts that come together, commands in the middle of a step, messages too large for one frame,
// content that cannot be read.
#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

namespace {

constexpr std::uint32_t deliverer = 4711;

handoff::Verdicts late(const handoff::DeliveryRequest& request, const handoff::Verdict& verdict)
{
    handoff::Verdicts made;
    made.set_attempt(request.attempt());
    made.set_message(request.message());
    for (const auto& recipient : request.envelope().recipients()) {
        handoff::Verdict& one = *made.add_verdicts();
        one = verdict;
        one.set_recipient(recipient.index());
    }
    return made;
}

handoff::Hello hello_with_flights(const std::vector<handoff::DeliveryRequest>& requests)
{
    handoff::Hello hello;
    hello.set_process(deliverer);
    for (const handoff::DeliveryRequest& request : requests) {
        auto& flight = *hello.add_flights();
        flight.set_attempt(request.attempt());
        flight.set_message(request.message());
    }
    return hello;
}

void greet(Fixture& fixture, handoff::Hello hello, const std::shared_ptr<ipc::Channel>& worker = nullptr)
{
    run(fixture.loop, fixture.queue->reunited(std::move(hello), worker));
}

/// The manager is replaced by the next one while the delivery process lives, which says then what it has: that.
std::vector<handoff::DeliveryRequest> outlive(Fixture& fixture, const std::shared_ptr<ipc::Channel>& worker = nullptr)
{
    const auto requests = fixture.worker.requests;
    fixture.stop();
    fixture.worker.silent = false;
    fixture.start({deliverer});
    greet(fixture, hello_with_flights(requests), worker);
    return requests;
}

/// A store whose contents cannot be read.
class Unreadable final : public PassingOn {
public:
    using PassingOn::PassingOn;
    awaitable<Result<std::unique_ptr<spool::ContentReader>>> content(spool::Lease) override
    {
        co_return Error{"message content is damaged", "4.3.0"};
    }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "adversity: two deliveries of one message that outlived the manager end together: both verdicts count")
{
    worker.silent = true;
    enqueue({"u@one.test", "v@two.test"});
    settle();
    REQUIRE(worker.requests.size() == 2);
    const auto requests = outlive(*this);
    int stored = 0;
    for (const auto& request : requests)
        asio::co_spawn(loop, queue->late_verdicts(late(request, TestWorker::delivered())),
                       [&](std::exception_ptr, const Result<handoff::VerdictsStored>& answer) { stored += answer.has_value(); });
    run_until([&] { return stored == 2; });
    pass(1h);
    CHECK(in_queue() == 0);
    CHECK(worker.delivered_to.empty());                        // nobody was given it again
}

TEST_CASE_FIXTURE(Fixture, "adversity: what waits in a delivery process that outlived the manager is called back by a hold or a deletion, too")
{
    worker.silent = true;
    const std::string held = enqueue({"u@one.test"});
    settle();
    const std::string deleted = enqueue({"v@two.test"});
    settle();
    REQUIRE(worker.requests.size() == 2);
    const auto requests = outlive(*this, worker.worker_for({}, {}, 0));
    CHECK(command(handoff::QueueCommand::HOLD, held).count() == 1);
    CHECK(command(handoff::QueueCommand::DELETE, deleted).count() == 1);
    settle();
    CHECK(worker.called_back == std::vector{requests[0].attempt(), requests[1].attempt()});
    for (const auto& request : requests) {
        handoff::Verdicts untried;
        untried.set_attempt(request.attempt());
        untried.set_message(request.message());
        untried.set_untried(true);
        REQUIRE(wait(queue->late_verdicts(std::move(untried))));
    }
    pass(1h);
    CHECK(in_queue() == 1);
    CHECK(worker.requests.size() == 2);
    CHECK(command(handoff::QueueCommand::RELEASE, held).count() == 1);
    settle();
    CHECK(worker.called_back.size() == 2);
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@one.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "adversity: a deferral of before the restart waits its time like any other")
{
    worker.silent = true;
    enqueue({"u@one.test"});
    settle();
    const auto requests = outlive(*this);
    REQUIRE(wait(queue->late_verdicts(late(requests.at(0), TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later")))));
    pass(200s);
    CHECK(worker.requests.size() == 1);
    pass(101s);
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@one.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(
    Fixture, "adversity: a deferral of before the restart is held against its recipient's own schedule, and main.cf's where no table can be asked")
{
    options.retry_schedules = true;
    queue->reconfigure(options);
    resolver.schedules = {{"long.test", "maximal_queue_lifetime=10d"}};
    for (const bool broken : {false, true}) {
        CAPTURE(broken);
        worker.silent = true;
        worker.requests.clear();
        enqueue({"u@long.test"});
        settle();
        const auto requests = outlive(*this);
        clock.advance(150h);
        resolver.broken = broken;
        resolver.reports.clear();
        REQUIRE(wait(queue->late_verdicts(late(requests.at(0), TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later")))));
        CHECK(resolver.reports.size() == (broken ? 1 : 0));
        resolver.broken = false;
        settle();
        pass(24h);
        CHECK(in_queue() == 0);
    }
}

TEST_CASE_FIXTURE(Fixture,
                  "adversity: what was delivered before the restart goes no second time, however many there are and however slow the disk is")
{
    /// Each verdict takes a while, one after the other.
    class Slow final : public PassingOn {
    public:
        using PassingOn::PassingOn;
        awaitable<Result<spool::Settled>> settle(spool::Settlement settlement) override
        {
            const auto now = std::chrono::steady_clock::now();
            free_at_ = std::max(free_at_, now) + 10ms;
            co_await sleep_for(std::chrono::ceil<std::chrono::milliseconds>(free_at_ - now));
            co_return co_await PassingOn::settle(std::move(settlement));
        }

    private:
        std::chrono::steady_clock::time_point free_at_;
    };
    options.reunion = 5s;
    Slow slow(nodes.node(0));
    worker.silent = true;
    for (int i = 0; i < 60; ++i)
        enqueue({fmt::format("u@s{}.test", i)});
    settle();
    const auto requests = worker.requests;
    REQUIRE(requests.size() == 60);
    stop();
    worker.silent = false;
    store = &slow;
    handoff::Hello hello;
    hello.set_process(deliverer);
    for (const handoff::DeliveryRequest& request : requests)
        *hello.add_held() = late(request, TestWorker::delivered());
    start({deliverer});
    REQUIRE(wait(queue->whole()));
    bool told = false;
    asio::co_spawn(loop, queue->reunited(hello, {}), [&](std::exception_ptr) { told = true; });
    run_until([&] {
        clock.advance(1s);
        return told;
    });
    settle();
    CHECK(in_queue() == 0);
    CHECK(worker.requests.size() == 60);                       // each once
    CHECK(worker.delivered_to.empty());
}

TEST_CASE_FIXTURE(Fixture, "adversity: a deferral that is told again because its confirmation was lost counts once, and changes no time")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    enqueue({"u@one.test"});
    settle();
    REQUIRE(worker.requests.size() == 1);
    const auto requests = outlive(*this);
    pass(100s);
    handoff::Verdicts told = late(requests.at(0), TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"));
    told.mutable_verdicts(0)->set_retry_at((clock.wall().time_since_epoch() + std::chrono::microseconds{10s}).count());
    REQUIRE(wait(queue->late_verdicts(std::move(told))));
    CHECK(queue->counts().deferred == 0);
    CHECK(queue->waiting() == 1);
    pass(20s);
    CHECK(worker.requests.size() == 1);
    pass(201s);
    CHECK(worker.requests.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "adversity: a message that is put on hold while its route is looked up is not delivered")
{
    resolver.asleep = true;
    const std::string id = enqueue({"u@there.test"});
    settle();
    CHECK(command(handoff::QueueCommand::HOLD, id).count() == 1);
    resolver.wake_up();
    pass(1h);
    CHECK(worker.requests.empty());
    CHECK(queue->active() == 0);
    CHECK(command(handoff::QueueCommand::RELEASE, id).count() == 1);
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
}

TEST_CASE_FIXTURE(Fixture, "adversity: a long list is asked about, and told of, in pieces that fit into frames")
{
    std::vector<std::string> list;
    for (int i = 0; i < 2500; ++i)
        list.push_back(fmt::format("u{}@{}", i, i < 2400 ? "error.test" : "there.test"));
    enqueue(list);
    settle();
    CHECK(*std::ranges::max_element(resolver.asked) <= 1000);
    CHECK(worker.delivered_to.size() == 100 + resolver.reports.size());
    std::set<std::uint32_t> told;
    for (const auto& report : resolver.reports) {
        CHECK(report.verdicts_size() <= 1000);
        for (const auto& verdict : report.verdicts())
            told.insert(verdict.recipient());
    }
    CHECK(told.size() == 2400);
    CHECK(in_queue() == 0);

    SUBCASE("what peers said at length makes a piece smaller")
    {
        resolver.reports.clear();
        worker.verdict_for = [](const std::string& address) {
            return address.starts_with("b") ? TestWorker::made(handoff::OUTCOME_BOUNCED, "5.1.1", std::string(20'000, 'x').c_str())
                                            : TestWorker::delivered();
        };
        list.clear();
        for (int i = 0; i < 100; ++i)
            list.push_back(fmt::format("b{}@there.test", i));
        enqueue(list);
        settle();
        REQUIRE(!resolver.reports.empty());
        for (const auto& report : resolver.reports)
            CHECK(report.ByteSizeLong() < (2U << 20));
        CHECK(in_queue() == 0);
    }
}

TEST_CASE_FIXTURE(Fixture, "adversity: a message whose content is lost goes back to its sender when its time is up, without it")
{
    Unreadable unreadable(nodes.node(0));
    stop();
    store = &unreadable;
    options.resident_octets = 0;                               // nothing is kept in memory
    start();
    enqueue({"u@there.test"});
    settle();
    CHECK(logged("status=deferred (cannot read the message: message content is damaged)"));
    CHECK(in_queue() == 1);
    pass(120h);
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].header().empty());
    CHECK_FALSE(resolver.reports[0].whole());
    pass(1h);
    CHECK(resolver.reports.size() == 1);
    CHECK(logged("is returned without its content: message content is damaged"));
    stop();
}

TEST_CASE_FIXTURE(Fixture, "adversity: a delivery may take longer than any other call; nobody else is given the message meanwhile")
{
    worker.call_limit = 20ms;
    worker.connect();
    worker.slow = [](const std::string&) { return true; };
    enqueue({"u@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 1);
    const auto end = std::chrono::steady_clock::now() + 200ms;
    run_until([&] { return std::chrono::steady_clock::now() >= end; });
    CHECK(worker.requests.size() == 1);
    CHECK_FALSE(logged("ended during delivery"));
    worker.answer_slow();
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"u@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "adversity: a delivery whose connection is lost while its process lives is waited for, and nobody else gets it")
{
    worker.process = deliverer;
    worker.silent = true;
    enqueue({"u@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 1);
    const auto requests = worker.requests;
    worker.silent = false;
    worker.lose_connection();
    pass(1h);
    CHECK(worker.requests.size() == 1);
    CHECK_FALSE(logged("ended during delivery"));
    const auto back = worker.worker_for({}, {}, 0);

    SUBCASE("it comes back with it, and its verdict counts")
    {
        greet(*this, hello_with_flights(requests), back);
        pass(1h);
        CHECK(worker.requests.size() == 1);
        CHECK(in_queue() == 1);
        const auto stored = wait(queue->late_verdicts(late(requests[0], TestWorker::delivered())));
        REQUIRE(stored);
        CHECK(in_queue() == 0);                                // before it is told so
    }
    SUBCASE("it has ended meanwhile")
    {
        handoff::Hello hello;
        hello.set_process(deliverer);
        *hello.add_held() = late(requests[0], TestWorker::delivered());
        greet(*this, hello, back);
        CHECK(in_queue() == 0);
    }
    SUBCASE("it never got it: it is given again, which is no failure")
    {
        greet(*this, hello_with_flights({}), back);
        settle();
        CHECK(worker.requests.size() == 2);
        CHECK(in_queue() == 0);
        CHECK_FALSE(logged("status=deferred"));
    }
    SUBCASE("another process says hello: that says nothing of it")
    {
        handoff::Hello hello;
        hello.set_process(deliverer + 1);
        greet(*this, hello, back);
        pass(1h);
        CHECK(worker.requests.size() == 1);
        CHECK(in_queue() == 1);
        stop();
    }
    SUBCASE("it comes back with it, and ends then")
    {
        greet(*this, hello_with_flights(requests), back);
        queue->parted(deliverer);
        settle();
        CHECK(logged("the smtp process ended during delivery"));
        CHECK(worker.requests.size() == 2);                    // once at once, as for any that ends
        CHECK(in_queue() == 0);
    }
    CHECK(worker.delivered_to.size() == worker.requests.size() - 1);
}

TEST_CASE_FIXTURE(Fixture, "adversity: a goodbye over the connection by which a delivery came does not mean that it never came")
{
    worker.process = deliverer;
    worker.slow = [](const std::string&) { return true; };
    enqueue({"u@there.test"});
    settle();
    greet(*this, hello_with_flights({}), worker.worker_for({}, {}, 0));
    worker.answer_slow();
    settle();
    CHECK(worker.requests.size() == 1);
    CHECK(worker.delivered_to.size() == 1);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Fixture, "adversity: a wall clock that is set back holds up nothing, neither now nor after a restart")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.0", "later"); };
    enqueue({"u@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 1);
    pass(100s);
    clock.step_wall(-24h);
    SUBCASE("the process lives: the backoff is by the other clock")
    {
        pass(199s);
        CHECK(worker.requests.size() == 1);
        pass(2s);
        CHECK(worker.requests.size() == 2);
        CHECK(logged("the clock was set back by 86400 seconds"));
    }
    SUBCASE("it is started anew: no longer than the longest backoff")
    {
        stop();
        start();
        settle();
        CHECK(worker.requests.size() == 1);
        pass(options.retry.maximal_backoff + 1s);
        CHECK(worker.requests.size() == 2);
    }
}
