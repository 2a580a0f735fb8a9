// The queue manager while the queue it found at its start is still being read.
#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

namespace {

/// Its queue can be read when go_on() was called, not before: one message a page.
class SlowToRead final : public PassingOn {
public:
    SlowToRead(spool::Store& inner, const Executor& executor) : PassingOn(inner), gone_on_(executor), inner_store_(inner) {}
    awaitable<Result<spool::Page<spool::Scheduled>>> load(std::uint64_t after, std::size_t) override
    {
        while (pages_ == 0 && !co_await cancelled())
            co_await gone_on_.wait();
        if (pages_ == 0)
            co_return Error{"ended", "4.3.2"};
        --pages_;
        if (broken)
            co_return Error{"a page cannot be read", "4.3.0"};
        co_return co_await inner_store_.load(after, 1);
    }
    void go_on(int pages = 1000)
    {
        pages_ += pages;
        gone_on_.notify_all();
    }
    bool broken = false;

private:
    Signal gone_on_;
    spool::Store& inner_store_;
    int pages_ = 0;
};

/// Three messages that nobody answers for are stored, the first of them tried once; then a manager begins that cannot read on.
struct Restarted : Fixture {
    Restarted()
    {
        worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.2.1", "later"); };
        ids = {enqueue({"one@there.test"}), enqueue({"two@there.test"}), enqueue({"three@there.test"})};
        settle();
        before = worker.requests;
        REQUIRE(before.size() == 3);
        worker.requests.clear();
        worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
        stop();
        store = &slow;
    }
    ~Restarted() { stop(); }
    /// A delivery process of before comes back: it has delivered the second of them.
    void tell_of_two(bool& greeted)
    {
        handoff::Hello hello;
        hello.set_process(4711);
        auto& held = *hello.add_held();
        const auto two =
            std::ranges::find_if(before, [](const auto& request) { return request.envelope().recipients(0).address() == "two@there.test"; });
        held.set_attempt(two->attempt() + 10);                 // a later try than the one that deferred it
        held.set_message(two->message());
        *held.add_verdicts() = TestWorker::delivered();
        asio::co_spawn(loop, queue->reunited(std::move(hello), {}), [&greeted](std::exception_ptr) { greeted = true; });
    }
    SlowToRead slow{nodes.node(0), loop.get_executor()};
    std::vector<std::string> ids;
    std::vector<handoff::DeliveryRequest> before;
};

}  // namespace

TEST_CASE_FIXTURE(Restarted, "start: new mail is taken and delivered while what is stored is still being read, and that goes when it is due")
{
    start();
    enqueue({"new@there.test"});
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"new@there.test"});
    slow.go_on();
    settle();
    pass(1h);
    CHECK(worker.delivered_to == std::multiset<std::string>{"new@there.test", "one@there.test", "two@there.test", "three@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Restarted, "start: a message that came while the queue is read is not taken up a second time with its page")
{
    worker.silent = true;
    start();
    enqueue({"new@there.test"});
    settle();
    REQUIRE(worker.requests.size() == 1);
    slow.go_on();
    settle();
    pass(1h);
    CHECK(std::ranges::count_if(worker.requests,
                                [](const auto& request) { return request.envelope().recipients(0).address() == "new@there.test"; }) == 1);
    CHECK(command(handoff::QueueCommand::STATUS, "").count() == 4);
}

TEST_CASE_FIXTURE(Restarted, "start: a stored message that is sent again before its page was read is confirmed, and keeps its state")
{
    start();
    slow.go_on(1);                                             // the first page alone
    settle();
    next_sequence -= 1;                                        // the last of the three
    CHECK(enqueue({"three@there.test"}) == ids[2]);
    settle();
    CHECK(worker.requests.empty());                            // it was deferred, and waits its time
    slow.go_on();
    settle();
    CHECK(worker.requests.empty());
    pass(1h);
    CHECK(worker.delivered_to == std::multiset<std::string>{"one@there.test", "two@there.test", "three@there.test"});
}

TEST_CASE_FIXTURE(Restarted, "start: commands wait for the whole queue")
{
    start();
    std::optional<handoff::QueueReply> said;
    handoff::QueueCommand list;
    list.set_verb(handoff::QueueCommand::LIST);
    asio::co_spawn(loop, queue->command(list), [&](std::exception_ptr, Result<handoff::QueueReply> reply) { said = *std::move(reply); });
    slow.go_on(1);
    settle();
    CHECK_FALSE(said);
    slow.go_on();
    run_until([&] { return said.has_value(); });
    const handoff::QueueReply whole = said.value_or(handoff::QueueReply{});
    CHECK(whole.entries_size() == 3);
    CHECK(whole.count() == 3);
}

TEST_CASE_FIXTURE(Restarted, "start: a verdict of before counts, though it comes before its message was read")
{
    start({4711});
    bool greeted = false;
    tell_of_two(greeted);
    settle();
    CHECK_FALSE(greeted);
    slow.go_on();
    run_until([&] { return greeted; });
    settle();
    CHECK(in_queue() == 2);
    pass(1h);
    CHECK(worker.delivered_to == std::multiset<std::string>{"one@there.test", "three@there.test"});
}

TEST_CASE_FIXTURE(Restarted, "start: a verdict of before counts, though who told it ended before its message was read, and that is due")
{
    clock.advance(2h);                                         // all three are
    start({4711});
    bool greeted = false;
    tell_of_two(greeted);
    settle();
    queue->parted(4711);
    slow.go_on();
    run_until([&] { return greeted; });
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"one@there.test", "three@there.test"});
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(Restarted, "start: a new message waits for the delivery processes that wait for the queue, and is not put off")
{
    worker.absent = true;                                      // it has verdicts of before: it is greeted when those are stored
    start();
    enqueue({"new@there.test"});
    settle();
    pass(20s);
    CHECK(worker.requests.empty());
    worker.absent = false;
    slow.go_on();
    settle();
    CHECK(worker.delivered_to == std::multiset<std::string>{"new@there.test"});
    CHECK_FALSE(logged("mail transport unavailable"));
}

TEST_CASE_FIXTURE(Restarted, "start: a queue that cannot be read to its end is said")
{
    queue = std::make_unique<QueueManager>(loop.get_executor(), slow, resolver, worker, options, clock, observe::Log(sink, "postfix/qmgr"));
    std::string why;
    REQUIRE(wait(queue->open({}, [&](Error error) { why = error.what(); })));
    slow.go_on(1);
    settle();
    CHECK(why.empty());
    slow.broken = true;
    slow.go_on();
    settle();
    CHECK(why == "a page cannot be read");
}

TEST_CASE_FIXTURE(Restarted, "start: a manager that is to end before the queue is read ends")
{
    start();
    enqueue({"new@there.test"});
    stop();                                                    // returns
    store = nullptr;
    start();
    CHECK(command(handoff::QueueCommand::STATUS, "").count() >= 3);
}
