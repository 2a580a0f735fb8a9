// The queue manager and mail that goes at a time of its sender's choice (schedule/release.hpp).
#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

namespace {

struct HeldFixture : Fixture {
    /// The clock stands at midnight of Thursday, 1 January 2026, UTC.
    std::string held(const std::function<void(handoff::Release&)>& change, std::string recipient = "u@there.test")
    {
        amend_request = [&](handoff::EnqueueRequest& request) { change(*request.mutable_envelope()->mutable_release()); };
        std::string id = enqueue({std::move(recipient)});
        amend_request = nullptr;
        settle();
        return id;
    }
    std::string held_for(std::chrono::microseconds time)
    {
        return held([&](handoff::Release& release) {
            release.set_not_before((clock.wall() + time).time_since_epoch().count());
            release.set_request("for;1");
        });
    }
    handoff::QueueEntry listed()
    {
        handoff::QueueCommand list;
        list.set_verb(handoff::QueueCommand::LIST);
        const auto reply = wait(queue->command(list));
        REQUIRE(reply);
        REQUIRE(reply->entries_size() == 1);
        return reply->entries(0);
    }
    void say(handoff::QueueCommand::Verb verb, const std::string& id = {})
    {
        handoff::QueueCommand command;
        command.set_verb(verb);
        if (!id.empty())
            command.add_queue_ids(id);
        CHECK(wait(queue->command(command)));
        settle();
    }
};

struct CountsReads final : PassingOn {
    using PassingOn::PassingOn;
    awaitable<Result<spool::StoredMessage>> read(spool::Lease lease) override
    {
        ++reads;
        return PassingOn::read(lease);
    }
    int reads = 0;
};

/// 09:00 to 17:00 UTC on all days.
void office_hours(handoff::Release& release)
{
    release.set_days(0x7f);
    release.set_zone("UTC");
    release.set_start(9 * 3600);
    release.set_end(17 * 3600);
}

}  // namespace

TEST_CASE_FIXTURE(HeldFixture, "release: mail is tried when its sender said, not before, and says until then why it waits")
{
    const std::string id = held_for(2h);
    CHECK(worker.requests.empty());
    CHECK(logged(id + ": from=<a@ours.test>, held until 2026-01-01 02:00 UTC, as its sender asked"));
    CHECK(listed().queue_name() == "deferred");
    CHECK(listed().reasons(0) == "held until 2026-01-01 02:00 UTC, as its sender asked");
    CHECK(listed().next_try() == (clock.wall() + 2h).time_since_epoch().count());
    pass(119min);
    CHECK(worker.requests.empty());
    pass(2min);
    CHECK(worker.requests.size() == 1);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(HeldFixture, "release: why names it, and what ends it")
{
    const std::string id = held_for(2h);
    const auto reply = command(handoff::QueueCommand::EXPLAIN, id);
    const handoff::Waiting& waiting = reply.explanation().waiting(0);
    CHECK(waiting.wait() == static_cast<std::uint32_t>(handoff::Wait::release));
    CHECK(waiting.until() == (clock.wall() + 2h).time_since_epoch().count());
    CHECK(reply.explanation().gives_up() == (clock.wall() + 2h + 120h).time_since_epoch().count());
}

TEST_CASE_FIXTURE(HeldFixture, "release: a flush lets it wait; an operator who names it has it tried at once, once")
{
    const std::string id = held_for(24h);
    say(handoff::QueueCommand::FLUSH);
    CHECK(worker.requests.empty());
    CHECK(listed().reasons(0) == "held until 2026-01-02 00:00 UTC, as its sender asked");
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away"); };
    say(handoff::QueueCommand::SCHEDULE, id);
    CHECK(worker.requests.size() == 1);
    CHECK(listed().reasons(0) == "away");
    say(handoff::QueueCommand::FLUSH);
    pass(23h);
    CHECK(worker.requests.size() == 1);
    pass(2h);
    CHECK(worker.requests.size() > 1);
}

TEST_CASE_FIXTURE(HeldFixture, "release: it waits on after a restart, however long; a hold and its end change nothing")
{
    const std::string id = held_for(24h);
    CountsReads counting(nodes.node(0));
    stop();
    store = &counting;
    start();
    REQUIRE(wait(queue->whole()));
    settle();
    CHECK(counting.reads == 0);                                 // a restart looks at no message that is held
    stop();
    store = nullptr;
    start();
    settle();
    CHECK(listed().next_try() == (clock.wall() + 24h).time_since_epoch().count());
    pass(20h);
    CHECK(worker.requests.empty());
    say(handoff::QueueCommand::HOLD, id);
    CHECK(listed().reasons(0) == "");
    say(handoff::QueueCommand::RELEASE, id);
    CHECK(worker.requests.empty());
    say(handoff::QueueCommand::REQUEUE, id);
    CHECK(worker.requests.empty());
    pass(5h);
    CHECK(worker.requests.size() == 1);
}

TEST_CASE_FIXTURE(HeldFixture, "release: the lifetime counts from when it might first go")
{
    worker.verdict_for = [](const std::string& address) {
        return address == "a@ours.test" ? TestWorker::delivered() : TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away");
    };
    held_for(240h);                                             // twice main.cf's five days
    pass(241h);
    CHECK(worker.requests.size() == 1);
    CHECK(in_queue() == 1);
    pass(118h);
    CHECK(in_queue() == 1);
    pass(3h);
    CHECK(in_queue() == 0);
    CHECK(resolver.reports.size() == 1);
}

TEST_CASE_FIXTURE(HeldFixture, "release: a window holds every attempt, not only the first")
{
    worker.verdict_for = [](const std::string&) { return TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away"); };
    held(office_hours);
    CHECK(listed().reasons(0) == "held until 2026-01-01 09:00 UTC, as its sender asked");
    pass(8h + 59min);
    CHECK(worker.requests.empty());
    pass(2min);
    CHECK(worker.requests.size() == 1);
    for (int step = 0; step < 48; ++step)
        pass(10min);
    const std::size_t first_day = worker.requests.size();
    CHECK(first_day > 3);
    CHECK(listed().next_try() == (clock.wall() + 15h + 59min).time_since_epoch().count());
    say(handoff::QueueCommand::FLUSH);
    pass(15h);
    CHECK(worker.requests.size() == first_day);
    worker.verdict_for = [](const std::string&) { return TestWorker::delivered(); };
    pass(1h);
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(HeldFixture, "release: at its expiry it goes back, tried or not")
{
    worker.verdict_for = [](const std::string& address) {
        return address == "a@ours.test" ? TestWorker::delivered() : TestWorker::made(handoff::OUTCOME_DEFERRED, "4.4.1", "away");
    };
    const auto expires = [&](std::chrono::microseconds after) { return (clock.wall() + after).time_since_epoch().count(); };
    const std::string tried = held([&](handoff::Release& release) { release.set_expires(expires(6min)); });
    CHECK(worker.requests.size() == 1);
    pass(7min);
    CHECK(logged(tried + ": from=<a@ours.test>, status=expired, returned to sender"));
    REQUIRE(resolver.reports.size() == 1);
    CHECK(resolver.reports[0].verdicts(0).text() == "away");
    const std::string untried = held([&](handoff::Release& release) {
        office_hours(release);
        release.set_expires(expires(1h));
    });
    const std::size_t before = worker.requests.size();
    pass(61min);
    CHECK(logged(untried + ": from=<a@ours.test>, status=expired, returned to sender"));
    REQUIRE(resolver.reports.size() == 2);
    CHECK(resolver.reports[1].verdicts(0).status() == "4.4.7");
    CHECK(resolver.reports[1].verdicts(0).text() == "message expired at 2026-01-01T01:07:00Z, as its sender asked");
    CHECK(worker.requests.size() == before + 1);                // the report
    CHECK(in_queue() == 0);
}

TEST_CASE_FIXTURE(HeldFixture, "release: a clock that is set back brings nothing before its time")
{
    held_for(2h);
    clock.step_wall(-90min);
    pass(1h);
    CHECK(worker.requests.empty());
    pass(2h);
    CHECK(worker.requests.empty());
    pass(31min);
    CHECK(worker.requests.size() == 1);
}

TEST_CASE_FIXTURE(HeldFixture, "release: a client that waits for what delivery says does not wait for that")
{
    amend_request = [&](handoff::EnqueueRequest& request) {
        request.set_first_answer(3'600'000);
        request.mutable_envelope()->mutable_release()->set_not_before((clock.wall() + 2h).time_since_epoch().count());
    };
    enqueue({"u@there.test"});                                  // returns with the answer
    CHECK(in_queue() == 1);
    CHECK(worker.requests.empty());
}
